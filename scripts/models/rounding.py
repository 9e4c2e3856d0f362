"""Affine quantizers that need the weights alone, and the packing of their codes as MLX packs them.

A quantizer takes float32 `w [rows, groups, size]` and `bits` and gives codes (uint8, same shape), scales and biases
(`[rows, groups]`); `value = scale * code + bias`. Only `mlx` is MLX's own.
"""
import mlx.core as mx
import numpy as np


def pack(codes, bits):
    """Codes `[rows, cols]` as MLX stores them: each row one little-endian bit stream in uint32 words."""
    rows = codes.shape[0]
    stream = np.unpackbits(codes.astype(np.uint8)[..., None], axis=-1, bitorder="little")[..., :bits]
    return np.ascontiguousarray(np.packbits(stream.reshape(rows, -1), axis=-1, bitorder="little")).view("<u4")


def unpack(words, bits):
    rows = words.shape[0]
    stream = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little").reshape(rows, -1, bits)
    return np.packbits(stream, axis=-1, bitorder="little")[..., 0]


class Affine:
    """One quantized matrix: codes `[rows, cols]`, scales and biases `[rows, groups]` in float16."""

    def __init__(self, codes, scales, biases, bits):
        self.bits = bits
        self.codes = np.ascontiguousarray(codes.reshape(codes.shape[0], -1).astype(np.uint8))
        self.scales, self.biases = (np.asarray(x, np.float32).reshape(codes.shape[0], -1).astype(np.float16) for x in (scales, biases))

    @property
    def size(self):
        return self.codes.shape[1] // self.scales.shape[1]

    def value(self):
        """The weights as float32, `scale * code + bias`, not rounded to float16 again."""
        shape = (*self.scales.shape, self.size)
        grid = self.codes.reshape(shape).astype(np.float32)
        grid = grid * self.scales.astype(np.float32)[..., None] + self.biases.astype(np.float32)[..., None]
        return grid.reshape(self.codes.shape)

    def tensors(self):
        """`weight`, `scales`, `biases` for the file; MLX itself must read them as `value` says."""
        words = pack(self.codes, self.bits)
        read = mx.dequantize(mx.array(words), mx.array(self.scales.astype(np.float32)), mx.array(self.biases.astype(np.float32)),
                             group_size=self.size, bits=self.bits)
        if not np.allclose(np.array(read), self.value(), rtol=1e-6, atol=1e-7):
            raise SystemExit("the packed codes are not what mx.dequantize reads")
        return {"weight": words, "scales": self.scales, "biases": self.biases}


def mlx(w, bits, _seed=0):
    """MLX's own, of the float16 weights, as mlx-embeddings converts."""
    rows, groups, size = w.shape
    words, scales, biases = mx.quantize(mx.array(w.reshape(rows, -1).astype(np.float16)), group_size=size, bits=bits)
    return unpack(np.array(words), bits).reshape(w.shape), np.array(scales), np.array(biases)


def nearest(w, scales, biases, bits, rounded=True):
    """The nearest codes, by the scales and biases as the file will hold them (`rounded`), or before they are rounded to float16."""
    scales, biases = ((x.astype(np.float16) if rounded else x).astype(np.float32)[..., None] for x in (scales, biases))
    codes = np.rint((w - biases) / np.where(scales == 0, 1, scales))
    return np.clip(codes, 0, 2**bits - 1).astype(np.uint8)


def span(low, high, bits):
    """Scale and bias of a grid from `low` to `high`, never of zero width."""
    return np.maximum((high - low) / (2**bits - 1), 1e-7), low


def minmax(w, bits, _seed=0):
    scales, biases = span(w.min(-1), w.max(-1), bits)
    return nearest(w, scales, biases, bits), scales, biases


def minmaxlate(w, bits, _seed=0):
    """As `minmax`, with codes by the float32 scales, which are rounded afterwards, as MLX itself does."""
    scales, biases = span(w.min(-1), w.max(-1), bits)
    return nearest(w, scales, biases, bits, rounded=False), scales, biases


def clip(w, bits, _seed=0):
    """The range shrunk at both ends so that the mean square error is least (a grid of 20 x 20 factors)."""
    low, high = w.min(-1), w.max(-1)
    best = np.full(low.shape, np.inf, np.float32)
    out = [low.copy(), high.copy()]
    for a in np.linspace(0.62, 1.0, 20):
        for b in np.linspace(0.62, 1.0, 20):
            scales, biases = span(low * np.float32(a), high * np.float32(b), bits)
            codes = nearest(w, scales, biases, bits)
            error = ((codes * scales[..., None] + biases[..., None] - w) ** 2).mean(-1)
            better = error < best
            best = np.where(better, error, best)
            out = [np.where(better, scales, out[0]), np.where(better, biases, out[1])]
    return nearest(w, *out, bits), *out


def fit(w, codes, scales, biases):
    """Scale and bias of least squares for given codes; a group of one code keeps its own."""
    q = codes.astype(np.float64)
    centered = q - q.mean(-1, keepdims=True)
    spread = (centered**2).sum(-1)
    slope = (centered * w).sum(-1) / np.where(spread == 0, 1, spread)
    fitted = np.where(spread == 0, scales, slope)
    return fitted, np.where(spread == 0, biases, w.mean(-1) - fitted * q.mean(-1))


def fitted(w, bits, _seed=0):
    """MLX's codes, the scale and bias of least squares."""
    codes, scales, biases = mlx(w, bits)
    return codes, *fit(w, codes, scales, biases)


def alternating(w, bits, _seed=0):
    """Codes and least squares in turn, ten times, as Lloyd's algorithm."""
    codes, scales, biases = mlx(w, bits)
    for _ in range(10):
        scales, biases = fit(w, codes, scales, biases)
        codes = nearest(w, scales, biases, bits)
    return codes, scales, biases


def hqq(w, bits, _seed=0):
    """Half-quadratic quantization (Badri and Shaji 2023): the zero point moved so that the error in an l0.7 norm is least."""
    scales, biases = span(w.min(-1), w.max(-1), bits)
    beta, p = 10.0, 0.7
    for _ in range(20):
        codes = np.clip(np.rint((w - biases[..., None]) / scales[..., None]), 0, 2**bits - 1)
        error = w - (codes * scales[..., None] + biases[..., None])
        shrunk = np.sign(error) * np.maximum(np.abs(error) - np.maximum(np.abs(error), 1e-8) ** (p - 1) / beta, 0)
        biases = (w - shrunk - codes * scales[..., None]).mean(-1)
        beta *= 1.01
    return nearest(w, scales, biases, bits), scales, biases


def symmetric(w, bits, _seed=0):
    """The range from -max|w| to max|w|, as many quantizers write it."""
    top = np.abs(w).max(-1)
    scales, biases = span(-top, top, bits)
    return nearest(w, scales, biases, bits), scales, biases


def stochastic(w, bits, seed=0):
    """MLX's scales; a weight goes to the code above with the probability of its remainder."""
    _, scales, biases = mlx(w, bits)
    scales, biases = scales.astype(np.float32), biases.astype(np.float32)
    place = (w - biases[..., None]) / np.where(scales == 0, 1, scales)[..., None]
    codes = np.floor(place + np.random.default_rng(seed).random(w.shape))
    return np.clip(codes, 0, 2**bits - 1).astype(np.uint8), scales, biases


ROUNDING = {f.__name__: f for f in (mlx, minmax, minmaxlate, clip, fitted, alternating, hqq, symmetric, stochastic)}


def quantize(name, w, bits, size=64, seed=0):
    w = np.asarray(w, np.float32)
    grid = w.reshape(w.shape[0], -1, size)
    # A few rows at a time stay in the processor's cache; nothing crosses rows.
    parts = [ROUNDING[name](grid[i:i + 512], bits, [seed, i]) for i in range(0, len(grid), 512)]
    return Affine(*(np.concatenate(p) for p in zip(*parts)), bits)
