"""The table of scripts/modes, in Markdown.

    python modes.py PARALLAX REFERENCE_DIR CANDIDATES_DIR CORPUS ROWS
"""
import json
import pathlib
import subprocess
import sys

ORDER = ["float16", "bfloat16", *(f"affine {bits} g{group}" for bits in (8, 6, 5, 4, 3, 2) for group in (32, 64, 128)), "mxfp8", "mxfp4", "nvfp4"]
#: Limits for formats that have none of their own: 3 and 2 bits are held to those of 4.
POLICIES = {"affine 3": "int4", "affine 2": "int4"}


def main():
    parallax, reference, candidates, corpus, rows = sys.argv[1:]
    print("| format | bits per weight | weights, relative error | sentence 1 − cos p50 | p99 | max | same nearest neighbour | policy | verdict |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in ORDER:
        policy = POLICIES.get(name.partition(" g")[0])
        command = [parallax, "check", "--reference", reference, "--candidate", pathlib.Path(candidates) / name, "--corpus", corpus, "--limit", rows,
                   "--quiet", "--format", "json", *(["--policy", policy] if policy else [])]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        if not done.stdout.strip():
            sys.exit(f"{name}: {done.stderr.strip()}")
        report = json.loads(done.stdout)
        sentence = next(m for m in report["measurements"] if (m["tap"], m["arm"], m["metric"]) == ("sentence", "total", "cosine_distance"))
        totals, neighbours = report["weights"]["totals"], report["sentence"]["neighbours"]
        print(f"| {name} | {totals['bits_per_weight']:.2f} | {100 * totals['relative_error']:.3g} % | "
              + " | ".join(f"{sentence[k]:.2g}" for k in ("p50", "p99", "max"))
              + f" | {100 * neighbours['top1_agreement']:.1f} % | {report['provenance']['policy']['name']} | {report['verdict'].upper()} |", flush=True)


if __name__ == "__main__":
    main()
