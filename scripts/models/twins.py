"""The table of scripts/twins, in Markdown: what parallax says of MLX's own conversions and of other quantizers.

    python twins.py PARALLAX REFERENCE_DIR CORPUS ROWS FOLDER ...

A folder holds candidates: of scripts/modes (MLX's own, whose groups must all be equal to their twins; honest), or of
scripts/quantizers (planted.json names the quantizer and the fault). Exit code 1 if MLX's own are not all equal, an honest one
does not pass or a faulty one does.
"""
import collections
import json
import pathlib
import subprocess
import sys

#: Formats without limits of their own: 3 and 2 bits are held to those of 4, as scripts/modes does, and may exceed them.
POLICIES = {"affine 3": "int4", "affine 2": "int4"}

#: Honest, and the real model exceeds a limit on how far the states may be off: a verdict may say that, and nothing else.
MAY_EXCEED = ("stochastic-4bit", "symmetric-4bit")


def check(parallax, reference, candidate, corpus, rows):
    policy = POLICIES.get(candidate.name.partition(" g")[0])
    command = [parallax, "check", "--reference", reference, "--candidate", candidate, "--corpus", corpus, "--limit", rows, "--quiet", "--format", "json",
               *(["--policy", policy] if policy else [])]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    return (json.loads(done.stdout) if done.stdout.strip() else None), done.stderr.strip()


def reasons(report):
    """Gates that did not pass and findings that prove or refuse something, each once."""
    findings = [f"{f['severity']} {f['code']}" for f in report["findings"] if f["severity"] in ("failure", "refusal")]
    gates = [f"{g['on']} {g['metric']} {g['stat']} {g['observed']:.3g} > {g['limit']:.3g}" if isinstance(g.get("observed"), float) else f"{g['on']} {g['metric']} {g['outcome']}"
             for g in report["gates"] if g["outcome"] != "pass"]
    return "; ".join(dict.fromkeys(findings + gates))[:200]


def words(report):
    """Quantizers the report names, by how many matrices."""
    seen = collections.Counter(t["twin"]["quantizer"] for t in report["weights"]["tensors"] if t.get("twin"))
    return ", ".join(f"{name} {count}" for name, count in seen.most_common())


def farthest(report):
    """The largest error over that of MLX's own conversion, of any batch and tap."""
    ratios = [t["over_twin"] for b in report["alignment"]["twin"]["batches"] for t in b["taps"]]
    return f"{max(ratios):.3g}" if ratios and all(isinstance(r, float) for r in ratios) else str(ratios[:1])


def main():
    parallax, reference, corpus, rows, *folders = sys.argv[1:]
    wrong = []
    print("| candidate | planted | groups equal to MLX's own | changed | error over MLX's own | quantizer of the matrices | verdict | why |")
    print("|---|---|---|---|---|---|---|---|")
    for folder in sorted((c for f in folders for c in pathlib.Path(f).iterdir() if (c / "config.json").exists()), key=lambda c: c.as_posix()):
        note = folder / "planted.json"
        fault = json.loads(note.read_text()).get("fault") if note.exists() else None
        report, said = check(parallax, reference, folder, corpus, rows)
        if report is None:
            print(f"| {folder.name} | {fault or ''} | | | | REFUSED | {said[:160]} |", flush=True)
            wrong += [folder.name] * (fault is None)
            continue
        twin = report["weights"]["totals"].get("twin", {"groups": 0, "changed": ""})
        share = f"{twin['equal']} of {twin['groups']} ({100 * twin['equal'] / twin['groups']:.4g} %)" if twin["groups"] else "no quantized matrix"
        print(f"| {folder.name} | {fault or ''} | {share} | {twin['changed']} | {farthest(report)} | {words(report)} | {report['verdict'].upper()} | {reasons(report)} |", flush=True)
        proven = any(f["severity"] in ("failure", "refusal") for f in report["findings"])
        free = fault is None and ((folder.name in MAY_EXCEED and not proven) or folder.name.partition(" g")[0] in POLICIES)
        equal = note.exists() or twin["equal"] == twin["groups"]
        if not equal or (not free and (report["verdict"] == "pass") != (fault is None)):
            wrong.append(folder.name)
    if wrong:
        sys.exit("not as it should be: " + ", ".join(wrong))


if __name__ == "__main__":
    main()
