"""Runs the contestants in turns and prints ratios; scripts/bench_peers builds what is needed first."""
import argparse
import chart
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE, HERE = ROOT / ".cache", pathlib.Path(__file__).parent
MODELS = {"minilm": (CACHE / "minilm/reference", CACHE / "minilm/mlx-8bit"), "base": (CACHE / "base/reference", CACHE / "base/mlx-8bit")}
RUST = ["own", "ort", "rten", "tract", "candle"]
#: The encoder's goals against ONNX Runtime's best (a ratio of times), by case.
GOALS = {"1x16": 1.7, "8x64": 1.1, "32x128": 1.3, "corpus, best batches": 1.2, "one at a time": 1.9, "unsorted 32": 2.5}


class Contestant:
    """A process that has loaded its model and runs a case whenever it is asked to."""

    def __init__(self, who, folder, cases, threads):
        rust = who in RUST or who == "peak"
        command = [ROOT / "target/peers/release/peers"] if rust else [sys.executable, HERE / "contestant.py"]
        self.who = who
        self.process = subprocess.Popen([*map(str, command), who, str(folder), str(cases), str(threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {f"{n}_NUM_THREADS": str(threads) for n in ("RAYON", "RTEN", "OMP")})
        first = self.process.stdout.readline().split()
        if not first:
            raise RuntimeError(f"{who}: {self.process.stderr.read()[-300:]}")
        self.loaded = float(first[1])

    def run(self, case):
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.who} on {case}: {self.process.stderr.read()[-300:]}")
        return float(line)

    def close(self):
        self.process.kill()


def flops(config, batches):
    """Multiplications and additions on real tokens: four square matrices, two of the feed-forward block, attention."""
    h, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    lengths = [len(row) for batch in batches for row in batch]
    return layers * sum(n * (8 * h * h + 4 * h * inner) + 4 * n * n * h for n in lengths)


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def encoder(model, threads, rounds, who, out):
    folder, cases_file = MODELS[model][0], CACHE / "peers.json"
    cases, config = json.load(open(cases_file)), json.load(open(folder / "config.json"))
    names = [*RUST, "ort-all", "ort-extended", "torch", *(["ort-all-within"] if threads > 1 else []), "peak"]
    names = [n for n in names if not who or n in [*who, "own", "peak"]]
    contestants = []
    for name in names:
        try:
            contestants.append(Contestant(name, folder, cases_file, threads))
        except RuntimeError as e:
            print(f"{name} does not take part: {e}", file=sys.stderr)
    few = "" if model == "minilm" else "few "
    budgets = [c for c in cases if c.startswith(f"{few}sorted")]
    best = {}
    for c in contestants:  # each contestant's own best batches for the corpus
        if c.who != "peak":
            tried = budgets if c.who == "own" or c.who.startswith("ort") else [f"{few}sorted {b}" for b in (192, 384, 1024)]
            times = {b: c.run(b) for b in tried}
            best[c.who] = min(times, key=times.get)
    plan = {case: {c.who: case for c in contestants} for case in ["1x16", "8x64", "32x128"]}
    plan["corpus, best batches"] = {c.who: best.get(c.who, "") for c in contestants}
    plan |= {case: {c.who: best["own"] if c.who == "own" else few + case for c in contestants} for case in ["one at a time", "unsorted 32"]}
    rows = []
    for case, which in plan.items():
        batches = cases[which["own"]]
        repeats = max(1, int(4e9 / flops(config, batches)))  # short cases are run often enough to be timed
        times = {c.who: [] for c in contestants}
        for round_ in range(rounds + 1):
            random.Random(round_).shuffle(contestants)
            for c in contestants:
                total = sum(c.run(which[c.who]) for _ in range(1 if c.who == "peak" else repeats))
                if round_:  # the first is warming up
                    times[c.who].append(total)
        peak = [1 / t for t in times.pop("peak")]  # GFLOP/s of one core
        own, work = times["own"], flops(config, batches) * repeats / 1e9
        rate = [work / t for t in own]
        share = [r / (p * threads) for r, p in zip(rate, peak)]
        runtime = {w: t for w, t in times.items() if w.startswith("ort")}
        fastest = min(runtime, key=lambda w: statistics.median(runtime[w]))
        goal = GOALS[case] if model == "minilm" and threads == 1 else 1.0
        ratio = statistics.median(t / o for t, o in zip(runtime[fastest], own))
        row = {"model": model, "threads": threads, "case": case, "batches": which["own"], "GFLOP/s": statistics.median(rate),
               "share of peak": statistics.median(share), "ort": fastest, "ort batches": which[fastest], "goal": goal, "met": ratio >= goal,
               "times as fast as": {w: [t / o for t, o in zip(ts, own)] for w, ts in times.items() if w != "own"}, "seconds": statistics.median(own)}
        rows.append(row)
        others = ", ".join(f"{w} {spread(v)}" for w, v in sorted(row["times as fast as"].items()))
        print(f"{model}, {threads} threads, {case}: {row['GFLOP/s']:.0f} GFLOP/s, {row['share of peak']:.0%} of peak; "
              f"{ratio:.2f} x ONNX Runtime ({fastest}, {which[fastest]}), goal {goal}: {'met' if row['met'] else 'NOT MET'}; {others}", flush=True)
    for c in contestants:
        c.close()
    out.extend(rows)


def load(model, threads, rounds, out):
    """The 8-bit candidate opened, dequantized and packed, beside ONNX Runtime's session on the float32 file."""
    (reference, candidate), times = MODELS[model], {"own": [], "ort-all": []}
    for _ in range(rounds):
        for who, folder in [("own", candidate), ("ort-all", reference)]:
            contestant = Contestant(who, folder, CACHE / "peers.json", threads)
            times[who].append(contestant.loaded / (threads if who == "ort-all" else 1))  # a session per thread there
            contestant.close()
    row = {"model": model, "threads": threads, "case": "load", "ratio": [a / b for a, b in zip(times["own"], times["ort-all"], strict=True)]}
    out.append(row)
    print(f"{model}, {threads} threads, loading the candidate as a multiple of creating ONNX Runtime's session: {spread(row['ratio'])}, goal 0.5", flush=True)


def corpus_of(rows):
    """That many different rows: the shipped sentences, and pairs of them."""
    lines = (ROOT / "models/corpus.txt").read_text(encoding="utf-8").splitlines()
    random.seed(11)
    while len(lines) < rows:
        lines.append(f"{random.choice(lines[:2000])} {random.choice(lines[:2000])}")
    file = CACHE / f"corpus-{rows}.txt"
    file.write_text("\n".join(lines[:rows]) + "\n", encoding="utf-8")
    return file


def check(model, threads, rows, rounds, slow, out):
    reference, candidate = MODELS[model]
    corpus = corpus_of(rows)
    cases_file = CACHE / f"peers-{model}-{rows}.json"
    subprocess.run([sys.executable, HERE / "cases.py", str(reference / "tokenizer.json"), str(corpus), str(cases_file), "--whole"], check=True)
    ort = [Contestant(w, reference, cases_file, threads) for w in ["ort-all", *(["ort-all-within"] if threads > 1 else [])]]
    cases = list(json.load(open(cases_file)))
    _, alone, best = min((c.run(case), i, case) for i, c in enumerate(ort) for case in cases)
    binary = ROOT / "target/release/parallax"

    def ours(*more):
        command = [binary, "check", "--reference", reference, "--candidate", candidate, "--corpus", corpus, "--threads", threads, *more]
        started = time.perf_counter()
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        assert done.returncode in (0, 1, 3), done.stderr  # noise weights cannot pass
        return time.perf_counter() - started

    def script(who):
        command = [sys.executable, HERE / "script.py", who, reference, candidate, corpus, rows, threads]
        return float(subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout.split()[-1])
    jobs = {"ONNX Runtime alone": lambda: ort[alone].run(best), "parallax check": ours, "parallax check --control all": lambda: ours("--control", "all")}
    slower = {"onnxruntime + torch + numpy": lambda: script("script"), "Polygraphy": lambda: script("polygraphy")} if slow else {}
    times = {name: [] for name in [*jobs, *slower]}
    for round_ in range(rounds):
        for name, job in [*jobs.items(), *(slower.items() if round_ == 0 else [])]:
            times[name].append(job())
    for c in ort:
        c.close()
    base = times["ONNX Runtime alone"]
    row = {"model": model, "threads": threads, "rows": rows, "case": "check", "ort batches": f"{ort[alone].who} {best}",
           "ratios": {n: [t / b for t, b in zip(ts, base)] for n, ts in times.items()}, "seconds": {n: statistics.median(t) for n, t in times.items()}}
    out.append(row)
    print(f"{model}, {threads} threads, {rows} rows, as multiples of ONNX Runtime alone ({row['ort batches']}): "
          + ", ".join(f"{n} {spread(v)}" for n, v in row["ratios"].items()), flush=True)


def main():
    parser = argparse.ArgumentParser(prog="bench_peers")
    parser.add_argument("--models", default="minilm,base")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--out", type=pathlib.Path, default=CACHE / "bench_peers")
    parser.add_argument("--encoder-only", action="store_true")
    parser.add_argument("--check-only", action="store_true")
    parser.add_argument("--who", help="only these beside parallax: ort,ort-all,ort-extended,ort-all-within,rten,tract,candle,torch")
    parser.add_argument("--no-slow", action="store_true", help="leave the Python script and Polygraphy out")
    args = parser.parse_args()
    out = []

    def write():  # after every part: a run that is broken off keeps what it has
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "results.json").write_text(json.dumps(out, indent=1))
        chart.write(out, args.out)

    for model in args.models.split(","):
        for threads in map(int, args.threads.split(",")):
            if not args.check_only:
                encoder(model, threads, args.rounds, args.who.split(",") if args.who else None, out)
                load(model, threads, args.rounds, out)
                write()
            if not args.encoder_only:
                check(model, threads, args.rows if model == "minilm" else args.rows // 10, min(args.rounds, 3), not args.no_slow, out)
                write()


main()
