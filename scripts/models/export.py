"""Exports a BERT folder to ONNX with torch's exporters and checks the result against torch.

    python export.py MODEL_DIR --exporter torchscript|dynamo --out FILE
"""
import argparse
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import onnx
import onnxruntime
import torch
from transformers import AutoModel

OPSET = {"torchscript": 17, "dynamo": 18}
# Measured: up to 7.6e-6 on MiniLM, 2.4e-6 on the small model; several times that would be another computation.
TOLERANCE = 5e-5


class Plain(torch.nn.Module):
    """The model with positional tensors in and tensors out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return out.last_hidden_state, out.pooler_output


def example(vocab, rows=3, tokens=11):
    torch.manual_seed(0)
    ids = torch.randint(5, vocab, (rows, tokens))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    return ids * mask, mask, torch.zeros_like(ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--exporter", choices=OPSET, default="torchscript")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    base = AutoModel.from_pretrained(args.model, attn_implementation="sdpa").float().eval()
    model, inputs = Plain(base).eval(), example(base.config.vocab_size)
    names, outs = ["input_ids", "attention_mask", "token_type_ids"], ["last_hidden_state", "pooler_output"]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.exporter == "torchscript":
        axes = {n: {0: "batch", 1: "sequence"} for n in names + outs[:1]} | {outs[1]: {0: "batch"}}
        torch.onnx.export(model, inputs, str(args.out), input_names=names, output_names=outs, dynamic_axes=axes,
                          opset_version=OPSET[args.exporter], do_constant_folding=True, dynamo=False)
    else:
        batch, seq = torch.export.Dim("batch"), torch.export.Dim("sequence")
        torch.onnx.export(model, inputs, str(args.out), input_names=names, output_names=outs, dynamic_shapes=[{0: batch, 1: seq}] * 3,
                          opset_version=OPSET[args.exporter], dynamo=True, external_data=False)
    proto = onnx.load(args.out)
    proto.doc_string = proto.graph.doc_string = ""
    for node in proto.graph.node:
        node.doc_string = ""
        kept = [p for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(proto, args.out)
    check(model, args.out, base.config.vocab_size)


def check(model, file, vocab):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    worst = 0.0
    for rows, tokens in [(1, 5), (2, 33), (7, 12)]:
        ids, mask, types = example(vocab, max(rows, 2), max(tokens, 8))
        with torch.no_grad():
            want = model(ids, mask, types)[0].numpy()
        got = session.run(["last_hidden_state"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy(), "token_type_ids": types.numpy()})[0]
        worst = max(worst, float(np.abs(want - got)[mask.numpy() == 1].max()))
    print(f"{file.name}: {file.stat().st_size} bytes, largest difference from torch {worst:.2e}")
    if not worst <= TOLERANCE:
        sys.exit(f"{file.name} does not compute what torch computes")


if __name__ == "__main__":
    main()
