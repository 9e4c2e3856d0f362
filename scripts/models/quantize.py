"""Converts a model folder with mlx-embeddings and adds the sentence-transformers files it leaves out.

    python quantize.py MODEL_DIR OUT_DIR [--bits 8] [--group-size 64] [--mode affine] [--dtype float16]     (--bits 0: no quantization)
"""
import argparse
import json
import os
import pathlib
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"
from mlx_embeddings.convert import convert

SENTENCE_FILES = ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"]
KEPT = {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "model.safetensors.index.json", "special_tokens_map.json"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--mode", default="affine")
    parser.add_argument("--dtype", default="float16")
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    convert(str(args.model), str(args.out), quantize=args.bits > 0, q_bits=args.bits or 4, q_group_size=args.group_size, q_mode=args.mode,
            dtype=args.dtype)
    for file in sorted(args.out.iterdir()):
        if file.name not in KEPT:
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    for name in SENTENCE_FILES:
        if (args.model / name).exists():
            (args.out / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(args.model / name, args.out / name)
    config = json.loads((args.out / "config.json").read_text())
    config.pop("_name_or_path", None)
    (args.out / "config.json").write_text(json.dumps(config, indent=4) + "\n")
    print(args.out.name, "quantization:", config.get("quantization"), (args.out / "model.safetensors").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
