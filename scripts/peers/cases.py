"""Token ids for scripts/bench_peers: three dense batches, and 512 sentences of 5 to 60 tokens batched in several ways.

    python cases.py TOKENIZER.json CORPUS.txt OUT.json [--whole]      (--whole: the corpus itself, sorted batches only)
"""
import json
import random
import sys

from tokenizers import Tokenizer

BUDGETS = [128, 192, 256, 384, 512, 768, 1024, 2048]


def by_budget(rows, budget):
    """Sorted by length, cut so that rows × longest stays within `budget` padded tokens."""
    batches = []
    for row in sorted(rows, key=len):
        if batches and (len(batches[-1]) + 1) * len(row) <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def main():
    tokenizer, lines = Tokenizer.from_file(sys.argv[1]), open(sys.argv[2], encoding="utf-8").read().splitlines()
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if sys.argv[4:] == ["--whole"]:
        tokenizer.enable_truncation(256)
        rows = [tokenizer.encode(line).ids for line in lines]
        json.dump({f"sorted {b}": by_budget(rows, b) for b in BUDGETS}, open(sys.argv[3], "w"))
        return
    random.seed(7)
    rows = []
    while len(rows) < 512:
        # Lengths as text has them: many short, few long.
        wanted = min(60, max(5, int(random.lognormvariate(3.0, 0.55))))
        ids = []
        while len(ids) < wanted - 2:
            ids += tokenizer.encode(random.choice(lines), add_special_tokens=False).ids
        rows.append([101] + ids[:wanted - 2] + [102])
    stream = [i for row in rows for i in row[1:-1]]

    def dense(count, tokens):
        return [[[101] + random.sample(stream, tokens - 2) + [102] for _ in range(count)]]
    cases = {f"{r}x{t}": dense(r, t) for r, t in [(1, 16), (8, 64), (32, 128)]}
    for prefix, some in [("", rows), ("few ", rows[::8])]:  # the few are for models eight times as large
        cases |= {f"{prefix}sorted {b}": by_budget(some, b) for b in BUDGETS}
        cases[f"{prefix}one at a time"] = [[row] for row in sorted(some, key=len)]
        cases[f"{prefix}unsorted 32"] = [some[i:i + 32] for i in range(0, len(some), 32)]
    json.dump(cases, open(sys.argv[3], "w"))


main()
