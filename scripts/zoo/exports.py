"""Exports one model in every way of the table below and writes manifest.json and states.safetensors (what
torch itself computes) beside them.

    python exports.py MODEL_DIR [--only NAME,NAME]
"""
import argparse
import hashlib
import json
import os
import pathlib
import sys
import traceback

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import onnx
import onnxruntime as ort
import torch
from safetensors.torch import save_file
from transformers import AutoModel

import rewrites as r
import wrappers as w

# name: (exporter or the export it is made from, opset or rewrite, wrapper, exact)
EXPORTS = {
    "ts11": ("torchscript", 11, w.Plain, True),
    "ts13": ("torchscript", 13, w.Plain, True),
    "ts14": ("torchscript", 14, w.Plain, True),
    "ts17": ("torchscript", 17, w.Plain, True),
    "dyn18": ("dynamo", 18, w.Plain, True),
    "dyn20": ("dynamo", 20, w.Plain, True),
    "dyn23": ("dynamo", 23, w.Plain, True),
    "dyn18_unoptimized": ("dynamo-unoptimized", 18, w.Plain, True),
    "ts14_sdpa": ("torchscript-sdpa", 14, w.Plain, True),
    "dyn20_sdpa": ("dynamo-sdpa", 20, w.Plain, True),
    "dyn23_sdpa": ("dynamo-sdpa", 23, w.Plain, True),
    "sentence_ts14": ("torchscript", 14, w.SentenceTransformer, True),
    "sentence_dyn18": ("dynamo", 18, w.SentenceTransformer, True),
    "logits_ts17": ("torchscript", 17, w.Logits, True),
    "pooled_dyn18": ("dynamo", 18, w.Pooled, True),
    "ort_basic": ("ts14", r.session_optimized("BASIC"), None, True),
    "ort_extended": ("ts14", r.session_optimized("EXTENDED"), None, True),
    "ort_all": ("ts17", r.session_optimized("ALL"), None, True),
    "ort_transformers": ("ts14", r.transformers_optimizer(level=0), None, True),
    "ort_transformers_o2": ("ts17", r.transformers_optimizer(level=2), None, True),
    "sentence_o2": ("sentence_ts14", r.transformers_optimizer(level=1), None, True),
    "onnxsim": ("ts14", r.simplified, None, True),
    "onnxslim": ("ts17", r.slimmed, None, True),
    "onnxslim_dyn": ("dyn18", r.slimmed, None, True),
    "renamed": ("ts14", r.renamed, None, True),
    "renamed_dyn": ("dyn18", r.renamed, None, True),
    "external": ("dyn18", r.external, None, True),
    "fp16": ("ts17", r.float16, None, False),
    "int8_dynamic": ("ts17", r.dynamic_int8, None, False),
    "int8_qdq": ("ts17", r.static_qdq, None, False),
    "int4": ("ts17", r.int4, None, False),
    "tanh_gelu": ("ts14", r.transformers_optimizer(approximate=True), None, False),
}


def batch(vocab, padding=0):
    """Six right-padded rows of up to 40 tokens."""
    torch.manual_seed(9)
    ids, mask = torch.full((6, 40), padding, dtype=torch.long), torch.zeros(6, 40, dtype=torch.long)
    for row, n in enumerate([40, 7, 33, 32, 31, 3]):
        ids[row, :n] = torch.randint(5, vocab, (n,))
        ids[row, 0], ids[row, n - 1] = (0, 2) if padding == 1 else (2, 3)
        mask[row, :n] = 1
    return ids, mask


def export(folder, how, opset, wrapper, target):
    attention = "sdpa" if how.endswith("sdpa") else "eager"
    model = AutoModel.from_pretrained(folder, attn_implementation=attention).float().eval()
    typed = model.config.model_type == "bert" and wrapper is not w.SentenceTransformer
    module = wrapper(model, typed).eval()
    ids, mask = batch(model.config.vocab_size, model.config.pad_token_id)
    inputs = (ids[:3, :11], mask[:3, :11]) + ((torch.zeros_like(ids[:3, :11]),) if typed else ())
    names = ["input_ids", "attention_mask", "token_type_ids"][: len(inputs)]
    if how.startswith("torchscript"):
        axes = {n: {0: "batch", 1: "sequence"} for n in names} | {n: {0: "batch"} for n in wrapper.outputs}
        axes |= {n: {0: "batch", 1: "sequence"} for n in wrapper.outputs if n in ("last_hidden_state", "token_embeddings")}
        torch.onnx.export(module, inputs, str(target), input_names=names, output_names=wrapper.outputs, dynamic_axes=axes,
                          opset_version=opset, do_constant_folding=True, dynamo=False)
    else:
        rows, seq = torch.export.Dim("batch"), torch.export.Dim("sequence")
        torch.onnx.export(module, inputs, str(target), input_names=names, output_names=wrapper.outputs,
                          dynamic_shapes=[{0: rows, 1: seq}] * len(inputs), opset_version=opset, dynamo=True, external_data=False,
                          optimize="unoptimized" not in how)
    proto = onnx.load(target)
    proto.doc_string = proto.graph.doc_string = ""
    for node in proto.graph.node:
        node.doc_string = ""
        kept = [p for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(proto, target)


def truth(folder, target):
    """Hidden states as torch computes them, in float32."""
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").float().eval()
    ids, mask = batch(model.config.vocab_size, model.config.pad_token_id)
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    tensors = {f"hidden.{k}": h.clone() for k, h in enumerate(out.hidden_states)} | {"final": out.last_hidden_state.clone()}
    save_file(tensors | {"input_ids": ids, "attention_mask": mask}, str(target))


def rows_taken(target, vocab):
    """`rows: 1` for a graph that ONNX Runtime runs on one row and not on two (torch's opset 23 RotaryEmbedding)."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])
    ids, mask = (t[:2].numpy() for t in batch(vocab))
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}
    feed = {i.name: feed[i.name] for i in session.get_inputs()}
    try:
        session.run(None, feed)
        return {}
    except Exception:
        session.run(None, {n: v[:1] for n, v in feed.items()})
        return {"rows": 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    folder, wanted = args.model, set(filter(None, args.only.split(",")))
    config = AutoModel.from_pretrained(folder).config
    truth(folder, folder / "states.safetensors")
    entries, failed = [], []
    for name, (source, how, wrapper, exact) in EXPORTS.items():
        if wanted and name not in wanted:
            continue
        target = folder / f"{name}.onnx"
        try:
            if wrapper is None:
                origin = folder / f"{source}.onnx"
                if not origin.exists():
                    export(folder, *EXPORTS[source][:3], origin)
                how(origin, target, config)
            else:
                export(folder, source, how, wrapper, target)
        except Exception as error:
            failed.append(name)
            print(f"{name}: not built: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}", flush=True)
            if os.environ.get("ZOO_TRACE"):
                traceback.print_exc()
            target.unlink(missing_ok=True)
            continue
        opset = max(o.version for o in onnx.load(target, load_external_data=False).opset_import if o.domain in ("", "ai.onnx"))
        entries.append(rows_taken(target, config.vocab_size) | {"file": target.name, "made_by": source if wrapper else f"{source} rewritten", "opset": opset, "exact": exact,
                        "sha256": hashlib.sha256(target.read_bytes()).hexdigest()})
        print(f"{name}: {target.stat().st_size} bytes, opset {opset}", flush=True)
    (folder / "manifest.json").write_text(json.dumps({"layers": config.num_hidden_layers, "exports": entries, "not_built": failed}, indent=1) + "\n")


if __name__ == "__main__":
    main()
