"""GPTQ by mlx-lm's own code (`mlx_lm.quant.gptq`) on mlx-embeddings' model: Linear by GPTQ on MLX's grids, embeddings at 6 bits."""
import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_embeddings.utils import load_model
from mlx_lm.quant.gptq import gptq_quantize
from rounding import Affine, unpack

ROW = 128
FALLBACK_BITS = 6


def packed(tokenizer, lines):
    """Sentences one after another, cut into rows without padding, as mlx-lm loads its calibration data."""
    ids = [i for row in tokenizer(lines, truncation=True, max_length=ROW)["input_ids"] for i in row]
    return mx.array(np.array(ids[: len(ids) // ROW * ROW]).reshape(-1, ROW))


def gptq(folder, tokenizer, lines, bits, size=64):
    """`{module: Affine}` and the overrides for the configuration."""
    model, config = gptq_quantize(load_model(folder, lazy=False), packed(tokenizer, lines), bits, size, FALLBACK_BITS, size)
    tensors = {n: np.array(v.astype(mx.float32) if v.dtype != mx.uint32 else v) for n, v in tree_flatten(model.parameters())}
    out = {}
    for name in (n[:-7] for n in tensors if n.endswith(".scales")):
        width = config.get(name, {"bits": bits})["bits"]
        codes = unpack(tensors[name + ".weight"], width)
        out[name] = Affine(codes.reshape(codes.shape[0], -1, size), tensors[name + ".scales"], tensors[name + ".biases"], width)
    return out, {n: v for n, v in config.items() if isinstance(v, dict)}
