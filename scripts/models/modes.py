"""The table of scripts/modes, in Markdown.

    python modes.py PARALLAX REFERENCE_DIR CANDIDATES_DIR CORPUS ROWS
"""
import json
import pathlib
import subprocess
import sys
import tempfile

ORDER = ["float16", "bfloat16", *(f"affine {bits} g{group}" for bits in (8, 6, 5, 4, 3, 2) for group in (32, 64, 128)), "mxfp8", "mxfp4", "nvfp4"]
#: The levels from the strictest, and what is left where none is met.
LEVELS = ["strict", "standard", "lenient"]


def main():
    parallax, reference, candidates, corpus, rows = sys.argv[1:]
    print("| format | bits per weight | weights, relative error | sentence 1 − cos p50 | p99 | max | similarity shift | same nearest neighbour | faithful | strictest level met |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in ORDER:
        command = [parallax, "check", "--reference", reference, "--candidate", pathlib.Path(candidates) / name, "--corpus", corpus, "--limit", rows,
                   "--quiet", "--format", "json", "--policy", "faithful"]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        if not done.stdout.strip():
            sys.exit(f"{name}: {done.stderr.strip()}")
        report = json.loads(done.stdout)
        sentence = next(m for m in report["measurements"] if (m["tap"], m["arm"], m["metric"]) == ("sentence", "total", "cosine_distance"))
        totals, neighbours = report["weights"]["totals"], report["sentence"]["neighbours"]
        print(f"| {name} | {totals['bits_per_weight']:.2f} | {100 * totals['relative_error']:.3g} % | "
              + " | ".join(f"{sentence[k]:.2g}" for k in ("p50", "p99", "max"))
              + f" | {neighbours['similarity_shift']:.2g} | {100 * neighbours['top1_agreement']:.1f} % | {report['faithful']} | {met(parallax, done.stdout)} |", flush=True)


def met(parallax, report):
    """The strictest level that the report's numbers meet, by `recheck`."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as saved:
        saved.write(report)
        saved.flush()
        for level in LEVELS:
            if subprocess.run([parallax, "recheck", saved.name, "--policy", level], capture_output=True).returncode == 0:
                return level
    return "none"


if __name__ == "__main__":
    main()
