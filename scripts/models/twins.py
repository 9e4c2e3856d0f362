"""The table of scripts/twins, in Markdown: what parallax says of MLX's own conversions and of other quantizers.

    python twins.py PARALLAX REFERENCE_DIR CORPUS ROWS FOLDER ...

A folder holds candidates: of scripts/modes (MLX's own, whose groups must all be equal to their twins; honest), or of
scripts/quantizers (planted.json names the quantizer and the fault). Exit code 1 if MLX's own are not all equal, an honest one
does not pass or is not named, or a faulty one does pass.
"""
import collections
import json
import pathlib
import re
import subprocess
import sys

#: By the quantizer of planted.json: the methods that most of the layers' matrices must be named by. The first must be among
#: them, unless it found nothing to do: with 8 bits `clip` (in steps of 2 %) keeps the whole range.
METHODS = {
    **dict.fromkeys(["embeddings8", "ends16", "linear"], ("mlx",)),
    "minmax": ("min_max",),
    "minmaxlate": ("min_max",),
    "clip": ("clipped",),
    "hqq": ("half_quadratic",),
    "symmetric": ("symmetric",),
    "fitted": ("fitted",),
    "alternating": ("fitted",),
    "dwq": ("dwq",),
    "stochastic": ("stochastic",),
    "gptq": ("gptq",),
    "gptqmlxlm": ("gptq",),
    "awq": ("awq", "mlx"),
    "awqclip": ("awq", "clipped"),
}
UNCLIPPED = {("clip", 8): ("min_max",), ("awqclip", 8): ("awq", "clipped", "min_max")}


def check(parallax, reference, candidate, corpus, rows):
    # Whether it is what it claims to be is asked, and not what its format costs.
    command = [parallax, "check", "--reference", reference, "--candidate", candidate, "--corpus", corpus, "--limit", rows, "--quiet", "--format", "json",
               "--policy", "faithful"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    return (json.loads(done.stdout) if done.stdout.strip() else None), done.stderr.strip()


def reasons(report):
    """Gates that did not pass and findings that prove or refuse something, each once."""
    findings = [f"{f['severity']} {f['code']}" for f in report["findings"] if f["severity"] in ("failure", "refusal")]
    gates = [f"{g['on']} {g['metric']} {g['stat']} {g['observed']:.3g} > {g['limit']:.3g}" if isinstance(g.get("observed"), float) else f"{g['on']} {g['metric']} {g['outcome']}"
             for g in report["gates"] if g["outcome"] != "pass"]
    return "; ".join(dict.fromkeys(findings + gates))[:200]


def methods(report, of=""):
    """Methods the report names, by how many matrices."""
    return collections.Counter(t["twin"]["method"] for t in report["weights"]["tensors"] if t.get("twin") and re.search(of, t["tensor"]))


def words(report):
    return ", ".join(f"{name} {count}" for name, count in methods(report).most_common())


def compensation(report):
    """What outputs told of matrices that keep no rule: least and most."""
    told = [t["twin"]["outputs"] for t in report["weights"]["tensors"] if (t.get("twin") or {}).get("outputs") is not None]
    return f" (outputs {min(told, key=float)} to {max(told, key=float)})" if told else ""


def is_named(report, quantizer, bits):
    """The layers' matrices are named as they were made; without a quantizer, by MLX."""
    wanted = UNCLIPPED.get((quantizer, bits)) or METHODS[quantizer or "linear"]
    seen = methods(report, r"(^|\.)(layers?|h|blocks?)\.\d+\.")
    return not seen or (2 * sum(seen[m] for m in wanted) > seen.total() and seen[wanted[0]] > 0)


def farthest(report):
    """The largest error over that of MLX's own conversion, of any batch and tap."""
    ratios = [t["over_twin"] for b in report["alignment"]["twin"]["batches"] for t in b["taps"]]
    return f"{max(ratios):.3g}" if ratios and all(isinstance(r, float) for r in ratios) else str(ratios[:1])


def main():
    parallax, reference, corpus, rows, *folders = sys.argv[1:]
    wrong = []
    print("| candidate | planted | groups equal to MLX's own | changed | error over MLX's own | named | verdict | why |")
    print("|---|---|---|---|---|---|---|---|")
    for folder in sorted((c for f in folders for c in pathlib.Path(f).iterdir() if (c / "config.json").exists()), key=lambda c: c.as_posix()):
        note = folder / "planted.json"
        made = json.loads(note.read_text()) if note.exists() else {}
        fault = made.get("fault")
        report, said = check(parallax, reference, folder, corpus, rows)
        if report is None:
            print(f"| {folder.name} | {fault or ''} | | | | REFUSED | {said[:160]} |", flush=True)
            wrong += [folder.name] * (fault is None)
            continue
        twin = report["weights"]["totals"].get("twin", {"groups": 0, "changed": ""})
        share = f"{twin['equal']} of {twin['groups']} ({100 * twin['equal'] / twin['groups']:.4g} %)" if twin["groups"] else "no quantized matrix"
        print(f"| {folder.name} | {fault or ''} | {share} | {twin['changed']} | {farthest(report)} | {words(report)}{compensation(report)} | {report['verdict'].upper()} | {reasons(report)} |", flush=True)
        equal = note.exists() or twin["equal"] == twin["groups"]
        if not equal or (report["verdict"] == "pass") != (fault is None):
            wrong.append(folder.name)
        elif fault is None and not is_named(report, made.get("quantizer"), made.get("bits")):
            wrong.append(f"{folder.name} (named {words(report)})")
    if wrong:
        sys.exit("not as it should be: " + ", ".join(wrong))


if __name__ == "__main__":
    main()
