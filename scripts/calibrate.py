#!/usr/bin/env python3
"""Writes the built-in policies from measured reports: every limit is twice the worst value measured,
and says in its `why` what was measured and on what.

    scripts/calibrate.py REPORTS_DIR       (reports named MODEL-PRECISION.json, from `parallax check --control all --format json`)

Runs on parallax-mini (2,000 sentences of models/corpus.txt) and the real all-MiniLM-L6-v2 (the first 1,000).
"""
import json
import math
import pathlib
import sys

MODELS = {"mini": "parallax-mini", "minilm": "MiniLM-L6"}
PRECISIONS = {  # policy: (words, {model: report})
    "float32": ("float32 weights", {"minilm": "f32"}),
    "float16": ("float16 weights", {"mini": "f16", "minilm": "f16"}),
    "bfloat16": ("bfloat16 weights", {"mini": "bf16", "minilm": "bf16"}),
    "int8": ("8-bit quantized weights", {"mini": "8bit", "minilm": "8bit"}),
    "int6": ("6-bit quantized weights", {"mini": "6bit", "minilm": "6bit"}),
    "int5": ("5-bit quantized weights", {"mini": "5bit", "minilm": "5bit"}),
    "int4": ("4-bit quantized weights", {"mini": "4bit", "minilm": "4bit"}),
}
# The engine arm is a property of the engine: fixed limits, the same in every policy.
ENGINE = [("p99", 1e-5), ("max", 1e-4)]
GATES = [  # on, arm, metric, stat
    ("embeddings", "quantization", "relative_l2", "p99"), ("embeddings", "quantization", "relative_l2", "max"),
    ("layer.*", "quantization", "relative_l2", "p99"), ("layer.*", "quantization", "relative_l2", "max"),
    ("layer.*", "quantization", "standardized_l2", "p99"),
    ("sentence", "total", "cosine_distance", "p99"), ("sentence", "total", "cosine_distance", "max"),
    ("weights", None, "relative_error", "max"), ("weights", None, "relative_error", "total"),
]
# Exact copies measure zero, float32 noise is not zero: nothing is judged below this.
FLOOR = {"relative_l2": 2e-5, "standardized_l2": 2e-5, "cosine_distance": 1e-9, "relative_error": 0.0}
FACTOR = 2.0


def up(value):
    """Rounded up to two significant digits."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.1e}")


def worst(report, on, arm, metric, stat):
    """The largest value a gate would see, and where."""
    if on == "weights":
        if stat == "total":
            return report["weights"]["totals"][metric], "all matrices"
        rows = [t for t in report["weights"]["tensors"] if len(t["shape"]) == 2]
        rows = [t for t in rows if t["mode"]] or rows
        top = max(rows, key=lambda t: t[metric])
        return top[metric], top["tensor"]
    fits = lambda tap: tap == on or on == "*" and tap not in ("pooled", "sentence") or on == "layer.*" and tap.startswith("layer.")
    seen = [(m[stat], m["tap"]) for m in report["measurements"] if m["arm"] == arm and m["metric"] == metric and fits(m["tap"])]
    return max(seen)


def gate(on, arm, metric, stat, limit, why):
    lines = ["[[gate]]", f'on = "{on}"'] + ([f'arm = "{arm}"'] if arm else [])
    return "\n".join(lines + [f'metric = "{metric}"', f'stat = "{stat}"', f"max = {limit!r}", f'why = "{why}"']) + "\n"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    load = lambda model, name: json.loads((folder / f"{model}-{name}.json").read_text())
    reports = {p: {m: load(m, n) for m, n in names.items()} for p, (_, names) in PRECISIONS.items()}
    engine = {}
    for stat, _ in ENGINE:
        engine[stat] = max(worst(r, "*", "engine", "relative_l2", stat) + (m,) for rs in reports.values() for m, r in rs.items())
    for policy, (words, _) in PRECISIONS.items():
        out = [f"# Limits for {words}. Written by scripts/calibrate.py from measured reports.\nschema = 1\n"]
        for stat, limit in ENGINE:
            value, tap, model = engine[stat]
            why = f"measured at most {value:.2g} ({MODELS[model]}, {tap}) over every model and precision; float32 rounding of another summation order, no more"
            out.append(gate("*", "engine", "relative_l2", stat, limit, why))
        for on, arm, metric, stat in GATES:
            seen = {m: worst(r, on, arm, metric, stat) for m, r in reports[policy].items()}
            limit = up(max([FACTOR * v for v, _ in seen.values()] + [FLOOR[metric]]))
            parts = [f"{v:.3g} on {MODELS[m]}" + (f" ({at})" if at not in (on, "all matrices") else "") for m, (v, at) in seen.items()]
            tail = "twice the larger" if FACTOR * max(v for v, _ in seen.values()) > FLOOR[metric] else "float32 noise, not the weights, sets the limit"
            out.append(gate(on, arm, metric, stat, limit, f"measured {' and '.join(parts)}; {tail}"))
        pathlib.Path("src/policy", f"{policy}.toml").write_text("\n".join(out))
        print(policy, "written")


if __name__ == "__main__":
    main()
