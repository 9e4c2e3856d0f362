"""The table of scripts/zoo/table, in Markdown.

    python table.py PARALLAX ZOO_DIR
"""
import array
import json
import math
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

# model: (its 8-bit candidate, its corpus); a graph that takes one row at a time cannot be checked and is held against torch's states.
MODELS = {
    "tiny-bert": ("tiny-bert-mlx-8bit", "tiny-bert/corpus.txt"),
    "default-bert": ("default-bert-mlx-8bit", "default-bert/corpus.txt"),
    "mini": ("models/parallax-mini-mlx-8bit", "models/corpus.txt"),
    "tiny-modernbert": ("tiny-modernbert-mlx-8bit", "tiny-modernbert/corpus.txt"),
}
# Farthest from the control, or from torch, that a float32 export may be.
ENGINE = 1e-5
ROWS = "200"


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.strip()


def evidence(taps):
    """What the taps were found by: the graph's structure in words, and how many matrices named their layer."""
    kinds = {re.sub(r"\s*\(.*|\s*\d+ of \d+|\s*of layer \d+", "", t["evidence"]).strip() for t in taps}
    told = [re.match(r"(\d+) of (\d+) matrices .*?(?:at least ([\d.]+))?\) of", t["matrices"]) for t in taps if t.get("matrices")]
    own, total = sum(int(m[1]) for m in told if m), sum(int(m[2]) for m in told if m)
    return "; ".join([f"{own} of {total} matrices in their layer", *sorted(kinds)])


def worst(report, arm):
    seen = [m["max"] for m in report["measurements"] if (m["arm"], m["metric"], m["mode"]) == (arm, "relative_l2", "accumulated")]
    return max((v for v in seen if v is not None), default=math.nan) if None not in seen else math.nan


def checked(parallax, reference, candidate, corpus):
    """Exit code, taps, worst engine and quantization error, and why it is no pass."""
    code, out, err = run(parallax, "check", "--reference", reference, "--candidate", candidate, "--corpus", corpus, "--limit", ROWS, "--quiet", "--format", "json")
    if not out.strip():
        return code, [], math.nan, math.nan, err.removeprefix("parallax: ")
    report = json.loads(out)
    why = "; ".join(r if isinstance(r, str) else r["message"] for r in report["reasons"])
    return code, report["alignment"]["taps"], worst(report, "engine"), worst(report, "quantization"), why


def tensors(path):
    """A safetensors file as name -> (shape, values)."""
    data = pathlib.Path(path).read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, t in json.loads(data[8:start]).items():
        if name != "__metadata__":
            values = array.array({"F32": "f", "I64": "q", "I32": "i", "U32": "I"}[t["dtype"]])
            values.frombytes(data[start + t["data_offsets"][0]:start + t["data_offsets"][1]])
            out[name] = (t["shape"], values)
    return out


def recorded(parallax, reference, rows, truth, folder):
    """For a graph of one row at a time: the taps it finds against the states torch computed on the same ids."""
    ids, mask = truth["input_ids"][1], truth["attention_mask"][1]
    width = truth["input_ids"][0][1]
    kept = [[i for i in range(r * width, (r + 1) * width) if mask[i]] for r in range(truth["input_ids"][0][0])]
    corpus = folder / "ids.jsonl"
    corpus.write_text("".join(json.dumps({"text": " ".join(words(reference)[ids[i]] for i in row[1:-1])}) + "\n" for row in kept))
    saved = folder / "states.safetensors"
    code, _, err = run(parallax, "record", "--reference", reference, "--corpus", corpus, "--save", saved, "--quiet", *(["--batch-tokens", "1"] if rows == 1 else []))
    if code:
        return code, 0, math.nan, err
    got = tensors(saved)
    assert list(got["input_ids"][1]) == [ids[i] for row in kept for i in row], "the tokenizer gave other ids"
    layers = sum(name.startswith("tap/layer.") for name in got)
    # Newer transformers put the final norm into the last hidden state of a pre-norm model: layer 2's own is not there.
    pairs = {"tap/embeddings": "hidden.0", "tap/final": "final"} | {f"tap/layer.{k}": f"hidden.{k + 1}" for k in range(layers - 1)}
    most = 0.0
    for ours, theirs in pairs.items():
        (_, a), (shape, b) = got[ours], truth[theirs]
        at = 0
        for row in kept:
            for i in row:
                x, y = a[at:at + shape[2]], b[i * shape[2]:(i + 1) * shape[2]]
                most = max(most, math.sqrt(sum((p - q) ** 2 for p, q in zip(x, y)) / sum(q * q for q in y)))
                at += shape[2]
    return 0, layers + 2, most, ""


def words(reference):
    vocabulary = json.loads((reference.parent / "tokenizer.json").read_text())["model"]["vocab"]
    return {i: w for w, i in vocabulary.items()}


def main():
    parallax, zoo = sys.argv[1], pathlib.Path(sys.argv[2])
    print("| export | made by | opset | taps | evidence | engine, max | 8-bit, max | verdict |\n|---|---|---|---|---|---|---|---|")
    wrong = total = 0
    for model, (candidate, corpus) in MODELS.items():
        home = zoo / model
        if not home.exists():
            continue
        manifest = json.loads((home / "manifest.json").read_text())
        expected = manifest["layers"] + 2
        for e in manifest["exports"]:
            reference, corpus_path = home / e["file"], zoo / corpus if (zoo / corpus).exists() else corpus
            if e.get("rows") != 1:
                other = zoo / candidate if (zoo / candidate).exists() else candidate
                code, taps, engine, quantization, why = checked(parallax, reference, other, corpus_path)
                found, said = len(taps), evidence(taps)
                verdict = {0: "PASS", 3: "refused"}.get(code, f"exit {code}")
            else:
                with tempfile.TemporaryDirectory() as folder:
                    code, found, engine, why = recorded(parallax, reference, e.get("rows"), tensors(home / "states.safetensors"), pathlib.Path(folder))
                said, quantization, verdict = "structure; against torch", math.nan, "" if code == 0 else f"exit {code}"
            # Heads are not computed: a classifier is refused by its output.
            judged = e["exact"] and not e["file"].startswith("logits_")
            right = code == 0 and found == expected and engine < ENGINE if judged else code == 3
            total, wrong = total + 1, wrong + (not right)
            figures = [f"{v:.1e}" if v == v else "" for v in (engine, quantization)]
            said = said if code == 0 else why.replace(str(reference) + ": ", "")[:160]
            print(f"| {model}/{e['file']} | {e['made_by']} | {e['opset']} | {found}/{expected} | {said} | {' | '.join(figures)} | {verdict}{'' if right else ' **WRONG**'} |", flush=True)
    print(f"\n{total} exports, {wrong} not as they have to be")
    sys.exit(1 if wrong or not total else 0)


if __name__ == "__main__":
    main()
