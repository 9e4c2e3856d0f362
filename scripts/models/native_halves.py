"""Records what MLX's ModernBERT computes in half precision, natively, on the rows of a recorded float32 run.

    python native_halves.py CHECKPOINT_DIR OUT.safetensors --compute float16|bfloat16

CHECKPOINT_DIR is a folder of tests/fixtures/mlx/tiny with plain float16 weights; its EXPECTED.safetensors holds the rows.
"""
import argparse
import pathlib

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from mlx_embeddings.utils import load_model
from safetensors.numpy import load_file, save_file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--compute", choices=["float16", "bfloat16"], required=True)
    args = parser.parse_args()
    wanted = getattr(mx, args.compute)
    model = load_model(args.checkpoint)
    model.update(tree_map(lambda p: p.astype(wanted) if mx.issubdtype(p.dtype, mx.floating) else p, model.parameters()))
    model.eval()
    rows = load_file(str(args.checkpoint / "EXPECTED.safetensors"))
    inner, out = model.model, {}
    for part in ("s0", "s1", "s2", "s3"):
        ids, mask = mx.array(rows[f"{part}.input_ids"]), mx.array(rows[f"{part}.attention_mask"])
        everywhere, nearby = inner._update_attention_mask(attention_mask=mask)
        hidden = inner.embeddings(ids)
        seen = {"embeddings": hidden}
        for k, layer in enumerate(inner.layers):
            hidden = layer(hidden, attention_mask=everywhere, sliding_window_mask=nearby, position_ids=mx.arange(ids.shape[1])[None])[0]
            assert hidden.dtype == wanted, (k, hidden.dtype)
            seen[f"layer.{k}"] = hidden
        seen["last_hidden_state"] = inner.final_norm(hidden)
        out |= {f"{part}.{name}": np.array(value.astype(mx.float32)) for name, value in seen.items()}
        out |= {f"{part}.{name}": rows[f"{part}.{name}"] for name in ("input_ids", "attention_mask")}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(out, str(args.out), metadata={"mlx": mx.__version__, "mode": f"native {args.compute}"})
    print(args.out, len(out), "tensors")


if __name__ == "__main__":
    main()
