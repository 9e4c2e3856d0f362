#!/usr/bin/env python3
"""Records the hidden states that MLX itself computes on a checkpoint, for `parallax check --recording`.

    python scripts/record_mlx.py --candidate DIR --corpus FILE --save FILE [--limit N] [--compute float32|float16|bfloat16] [--gelu tanh|fast]

Needs mlx-embeddings, tokenizers and numpy; runs on a Mac's GPU or on a Linux CPU. --compute is the
type of everything that is no code: float32 runs MLX on the very weights mx.dequantize gives and shows its formulas'
error alone, float16 runs the quantized kernels and shows what a device makes of a checkpoint stored so (slow on a CPU). --gelu puts MLX's approximations of GELU in the place of
its exact one, as some ports have them, to see that parallax tells. BERT checkpoints.
"""
import argparse
import hashlib
import json
import pathlib
import sys
from importlib.metadata import version

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map
from mlx_embeddings.utils import load_model
from tokenizers import Tokenizer

BATCH_ROWS = 16
# How far the layers run one by one may be from the whole model, over its largest value: rounding, no more.
SAME = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 1e-1}


def limit(folder, told):
    """The candidate's own length limit."""
    stated = folder / "sentence_bert_config.json"
    if told:
        return told
    if stated.exists():
        return json.loads(stated.read_text())["max_seq_length"]
    return json.loads((folder / "config.json").read_text())["max_position_embeddings"]


def dequantize(model):
    """Puts plain layers with the dequantized weights in the place of the quantized ones."""
    def plain(module):
        if not isinstance(module, (nn.QuantizedLinear, nn.QuantizedEmbedding)):
            return module
        mode = {"mode": module.mode} if hasattr(module, "mode") else {}
        weight = mx.dequantize(module.weight, module.scales, module.get("biases"), module.group_size, module.bits, **mode)
        if isinstance(module, nn.QuantizedEmbedding):
            new = nn.Embedding(*weight.shape)
        else:
            new = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in module)
            if "bias" in module:
                new.bias = module.bias
        new.weight = weight
        return new
    model.update_modules(tree_map(plain, model.leaf_modules(), is_leaf=nn.Module.is_module))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidate", type=pathlib.Path, required=True)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--save", type=pathlib.Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--compute", choices=["float32", "float16", "bfloat16"], default="float32")
    parser.add_argument("--gelu", choices=["tanh", "fast"])
    args = parser.parse_args()
    model = load_model(args.candidate)
    if not hasattr(model, "embeddings") or not hasattr(getattr(model, "encoder", None), "layer"):
        sys.exit(f"{args.candidate}: not a BERT checkpoint; this script knows no other")
    for layer in model.encoder.layer if args.gelu else []:
        layer.intermediate.intermediate_act_fn = nn.GELU(approx=args.gelu)
    wanted = getattr(mx, args.compute)
    if args.compute == "float32":
        # In float32 the quantized kernels would not round the weights to the checkpoint's own type, as mx.dequantize does.
        dequantize(model)
    model.update(tree_map(lambda p: p.astype(wanted) if mx.issubdtype(p.dtype, mx.floating) else p, model.parameters()))
    model.eval()
    tokenizer = Tokenizer.from_file(str(args.candidate / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit(args.candidate, args.max_length))
    # As parallax counts rows: lines with text, without the spaces around them.
    texts = [line.strip() for line in args.corpus.read_text().splitlines() if line.strip()][: args.limit]
    rows = [tokenizer.encode(text).ids for text in texts]
    names = ["embeddings", *(f"layer.{k}" for k in range(len(model.encoder.layer))), "final"]
    states = [{} for _ in rows]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(order), BATCH_ROWS):
        picked = order[start : start + BATCH_ROWS]
        longest = max(len(rows[i]) for i in picked)
        ids = np.zeros((len(picked), longest), np.int32)
        mask = np.zeros_like(ids)
        for r, i in enumerate(picked):
            ids[r, : len(rows[i])] = rows[i]
            mask[r, : len(rows[i])] = 1
        # Additive, as the model itself makes it.
        additive = mx.where(mx.array(mask)[:, None, None, :] == 1, 0.0, -1e9).astype(wanted)
        hidden = model.embeddings(mx.array(ids), mx.zeros(ids.shape, mx.int32))
        seen = [hidden]
        for layer in model.encoder.layer:
            hidden = layer(hidden, additive)
            seen.append(hidden)
        seen.append(hidden)
        whole = model(mx.array(ids), attention_mask=mx.array(mask)).last_hidden_state
        for name, values in zip(names, map(lambda v: np.array(v.astype(mx.float32)), seen)):
            for r, i in enumerate(picked):
                states[i][name] = values[r, : len(rows[i])]
        off = np.abs(np.array(whole.astype(mx.float32)) - values)[mask == 1].max()
        if not off <= SAME[args.compute] * np.abs(values).max():
            sys.exit(f"the layers run one by one differ from the whole model by {off}; this mlx-embeddings is not understood")
    tensors = {f"tap/{n}": np.ascontiguousarray(np.concatenate([s[n] for s in states])) for n in names}
    tensors["input_ids"] = np.concatenate([np.array(r, np.int32) for r in rows])
    tensors["row_offsets"] = np.cumsum([0] + [len(r) for r in rows]).astype(np.int64)
    # Who computed these states, on what, in which type, from which weights: parallax refuses a recording that leaves one out.
    metadata = {
        "parallax.recording": "1",
        "producer": "mlx" + (f" with {args.gelu} GELU" if args.gelu else ""),
        "producer_version": f"{mx.__version__} (mlx-embeddings {version('mlx-embeddings')})",
        "device": str(mx.default_device()),
        "compute": args.compute,
        "weights": " ".join(hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(args.candidate.glob("*.safetensors"))),
    }
    # The states are numbers of the type they were computed in, so storing them in it loses nothing.
    stored = {name: mx.array(values).astype(wanted) if name.startswith("tap/") else mx.array(values) for name, values in tensors.items()}
    mx.save_safetensors(str(args.save), stored, metadata)
    print(f"{args.save}: {len(rows)} rows, {len(tensors['input_ids'])} tokens, {len(names)} taps")


if __name__ == "__main__":
    main()
