"""The table of scripts/zoo/architectures, in Markdown.

    python architectures.py PARALLAX FIXTURES_DIR
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

#: Farthest from ONNX Runtime that our encoder may be, at any tap of any token.
ENGINE = 1e-5


def check(parallax, reference, candidate, corpus):
    command = [parallax, "check", "--reference", reference, "--candidate", candidate, "--corpus", corpus, "--quiet", "--format", "json"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {"reasons": [done.stderr.strip()]}


def planted(candidate, folder):
    """A copy in whose file layers 0 and 1 have changed names, or, where all layers are one, two of its matrices."""
    copy = pathlib.Path(folder) / "planted"
    shutil.copytree(candidate, copy)
    (copy / "model.safetensors.index.json").unlink(missing_ok=True)
    file = copy / "model.safetensors"
    data = file.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = data[8:8 + size].decode()
    for a, b in (("layer.0.", "layer.1."), ("layers.0.", "layers.1."), (".attention.query.", ".attention.value.")):
        if a in header and b in header:
            break
    # The pre-norm layer 0 of ModernBERT has no norm before its attention: there only its feed-forward block moves.
    only = ".mlp.W" if "attn_norm" in header else ""
    names = json.loads(header)
    swapped = {}
    for name, value in names.items():
        if only and only not in name:
            swapped[name] = value
        else:
            swapped[name.replace(a, "\0").replace(b, a).replace("\0", b)] = value
    assert swapped.keys() == names.keys() and swapped != names, "nothing was planted"
    text = json.dumps(swapped, separators=(",", ":")).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])
    return copy


def main():
    parallax, fixtures = sys.argv[1], pathlib.Path(sys.argv[2])
    homes = [fixtures / "zoo/tiny-bert", fixtures / "zoo/tiny-modernbert", *sorted(p for p in (fixtures / "families").iterdir() if not p.name.endswith("-8bit"))]
    print("| architecture | export | taps | engine, max | 8-bit candidate | with a planted fault |\n|---|---|---|---|---|---|")
    wrong = total = 0
    for home in homes:
        kind = json.loads((home / "config.json").read_text())["model_type"]
        candidate, corpus = home.with_name(home.name + "-mlx-8bit"), home / "corpus.txt"
        for export in ("ts17", "dyn18"):
            reference = home / f"{export}.onnx"
            if not reference.exists():
                continue
            code, report = check(parallax, reference, candidate, corpus)
            expected = json.loads((home / "manifest.json").read_text())["layers"] + 2
            taps = report.get("alignment", {}).get("taps", [])
            engine = [m["max"] for m in report.get("measurements", []) if (m["arm"], m["metric"], m["mode"]) == ("engine", "relative_l2", "accumulated")]
            farthest = max(engine) if engine and None not in engine else float("nan")
            with tempfile.TemporaryDirectory() as folder:
                broken, why = check(parallax, reference, planted(candidate, folder), corpus)
            right = len(taps) == expected and farthest < ENGINE and code in (0, 1) and broken in (1, 3)
            total, wrong = total + 1, wrong + (not right)
            said = {0: "PASS", 1: "FAIL", 3: "INCONCLUSIVE"}
            reason = why["reasons"][0] if why["reasons"] else ""
            reason = reason if isinstance(reason, str) else reason.get("message", "")
            if code:
                first = report["reasons"][0]
                print(f"{home.name}: {first if isinstance(first, str) else first.get('message', '')}", file=sys.stderr)
            print(f"| {kind} | {export} | {len(taps)}/{expected} | {farthest:.1e} | {said.get(code, f'exit {code}')} | {said.get(broken, f'exit {broken}')}: {reason[:90]} |{'' if right else ' **WRONG**'}", flush=True)
    print(f"\n{total} exports, {wrong} not as they have to be")
    sys.exit(1 if wrong or not total else 0)


if __name__ == "__main__":
    main()
