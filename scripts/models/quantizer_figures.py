"""How far honest and faulty candidates are from the original, by every statistic that might tell them apart.

    python quantizer_figures.py REFERENCE TWIN_BITS=FOLDER ... --candidates FOLDER --corpus FILE --out FILE.md [--json FILE]

All errors are those of `scale * code + bias` against the float32 original; a half step is half of |scale| of MLX's own
quantization (the twin) of the same group at the same width. Inputs are the original's own, on rows no quantizer saw.
"""
import argparse
import json
import os
import pathlib
import random

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
from calibrated import Encoder, folds, spread
from quantizers import CALIBRATION_ROWS, Candidate
from rounding import fit, quantize

ROWS = 256
COLUMNS = ["group rms p50", "p99", "max", "largest", "tensor ratio", "group ratio max", "row ratio max", "output ratio", "channel output ratio max",
           "codes unlike MLX's", "refit rms max", "refit largest"]


def moments(encoder):
    """Second moments of the inputs of each Linear, `[in, in]`."""
    return {n: (x.double().T @ x.double() / len(x)).numpy() for n, x in encoder.inputs(encoder.linears()).items()}


def rms(x, axis=None):
    return np.sqrt((x.astype(np.float64) ** 2).mean(axis))


def ratio(a, b):
    """Errors over the twin's; where the twin has (almost) none there is no ratio."""
    floor = 1e-3 * np.median(b)
    return np.where(b > floor, a / np.maximum(b, floor), 0)


def figures(w, matrix, twin, moment, value=None):
    """The statistics of one matrix (COLUMNS); those of the output need the moments of its inputs."""
    error, own = (matrix.value() if value is None else value) - w, twin.value() - w
    groups = (w.shape[0], -1, twin.size)
    half = np.abs(twin.scales.astype(np.float32))[..., None] / 2
    steps = error.reshape(groups) / half
    by_group = rms(steps, -1)
    out = [np.median(by_group), np.quantile(by_group, 0.99), by_group.max(), np.abs(steps).max(), rms(error) / rms(own),
           ratio(rms(error.reshape(groups), -1), rms(own.reshape(groups), -1)).max(), ratio(rms(error, 1), rms(own, 1)).max()]
    if moment is not None:
        channel = [np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", e, moment, e, optimize=True), 0)) for e in (error.astype(np.float64), own.astype(np.float64))]
        out += [rms(channel[0]) / rms(channel[1]), ratio(*channel).max()]
    else:
        out += [np.nan, np.nan]
    # What is left of the error when each group's codes get the scale and bias of least squares: a fault of codes stays.
    grid, codes = w.reshape(groups).astype(np.float64), matrix.codes.reshape(groups)
    scales, biases = fit(grid, codes, matrix.scales.astype(np.float64), matrix.biases.astype(np.float64))
    left = (codes * scales[..., None] + biases[..., None] - grid) / half
    return [*out, (matrix.codes != twin.codes).mean(), rms(left, -1).max(), np.abs(left).max()]


def factors(encoder, candidate, divided, multiplied, channels, repeat):
    """Factors per channel by least squares, from the tensors on both sides of a fold: `s` and how far the sides disagree."""
    dim = getattr(encoder.model.config, "head_dim", None) or 1
    columns = [(encoder.weight(n).astype(np.float64), candidate.matrices[candidate.name_of(n)].value()) for n in multiplied]
    s = sum((w * v).sum(0) for w, v in columns) / sum((w * w).sum(0) for w, _ in columns)
    return s if repeat == 1 else s.reshape(-1, repeat, dim).mean(1).reshape(-1)


def undone(encoder, candidate):
    """Values of all matrices with the factors of every fold solved for and taken back."""
    values = {n: candidate.matrices[candidate.name_of(n)].value() for n in encoder.modules if has(candidate, n)}
    for divided, multiplied, channels, repeat in folds(encoder):
        if not all(n in values for n in multiplied):
            continue
        s = factors(encoder, candidate, divided, multiplied, channels, repeat)
        import torch
        wide = spread(torch.as_tensor(s), repeat, getattr(encoder.model.config, "head_dim", 1)).numpy()
        for name in multiplied:
            values[name] = (values[name] / wide).astype(np.float32)
        for name, first in divided:
            if name.endswith(".weight") and name[:-7] in values:
                values[name[:-7]][first:first + channels] *= s[:, None]
    return values


def has(candidate, name):
    return any(n == name or n.endswith("." + name) for n in candidate.matrices)


def measure(encoder, moment, folder, twins, take_back=False):
    """Largest of each statistic over the matrices, and where it is."""
    candidate = Candidate(folder)
    values = undone(encoder, candidate) if take_back else {}
    rows = {}
    for name in encoder.modules:
        if has(candidate, name):
            matrix = candidate.matrices[candidate.name_of(name)]
            twin = twins.setdefault((name, matrix.bits), quantize("mlx", encoder.weight(name), matrix.bits, candidate.size))
            rows[name] = figures(encoder.weight(name), matrix, twin, moment.get(name), values.get(name))
    table = np.array(list(rows.values()), float)
    at = [list(rows)[int(np.nanargmax(table[:, i]))] for i in range(len(COLUMNS))]
    return {"matrices": {n: [float(x) for x in r] for n, r in rows.items()}, "max": [float(x) for x in np.nanmax(table, 0)], "at": at, "equal": equal(encoder, candidate, twins)}


def equal(encoder, candidate, twins):
    """Share of groups whose codes, scale and bias are MLX's own to the bit."""
    same = total = 0
    for name in encoder.modules:
        if has(candidate, name):
            a = candidate.matrices[candidate.name_of(name)]
            b = twins[name, a.bits]
            groups = (*a.scales.shape, -1)
            hit = (a.codes.reshape(groups) == b.codes.reshape(groups)).all(-1) & (a.scales == b.scales) & (a.biases == b.biases)
            same, total = same + hit.sum(), total + hit.size
    return same / total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=pathlib.Path)
    parser.add_argument("--candidates", type=pathlib.Path, required=True)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    lines = [line for line in args.corpus.read_text().splitlines() if line.strip()]
    seen = set(random.Random(0).sample(lines, CALIBRATION_ROWS))
    encoder = Encoder(args.reference, random.Random(1).sample([x for x in lines if x not in seen], ROWS))
    moment, twins, measured = moments(encoder), {}, {}
    for folder in sorted(args.candidates.glob("*bit*")):
        note = json.loads((folder / "planted.json").read_text())
        measured[folder.name] = note | measure(encoder, moment, folder, twins)
        if note["quantizer"].startswith("awq"):
            measured[folder.name + " (factors undone)"] = note | measure(encoder, moment, folder, twins, take_back=True)
        print(folder.name, flush=True)
    if args.json:
        args.json.write_text(json.dumps({"columns": COLUMNS, "candidates": measured}, indent=1) + "\n")
    args.out.write_text(tables(measured))


def tables(measured):
    out = []
    for bits in sorted({m["bits"] for m in measured.values()}, reverse=True):
        for fault in (False, True):
            out += [f"\n### {bits} bits, {'one fault planted' if fault else 'honest'}\n", f"| candidate | equal to MLX's | {' | '.join(COLUMNS)} |",
                    "|---" * (len(COLUMNS) + 2) + "|"]
            for name, m in measured.items():
                if m["bits"] == bits and bool(m["fault"]) == fault:
                    what = name + (f" ({m['fault']})" if fault else "")
                    out.append(f"| {what} | {100 * m['equal']:.1f} % | " + " | ".join(f"{x:.3g}" for x in m["max"]) + " |")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    main()
