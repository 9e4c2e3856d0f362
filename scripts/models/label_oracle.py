"""What scipy, pytrec_eval and ranx make of some lists: tests/fixtures/labels/oracle.json.

    python -m pip install scipy pytrec_eval-terrier ranx
    python label_oracle.py > oracle.json

Pairs: similarities of many sizes with and without ties, Pearson and Spearman by scipy. Searches: scores and grades of up to 40
documents, nDCG@10 and recall@10 by pytrec_eval (trec_eval's own code), MRR@10 by ranx. No two scores of a search are equal:
trec_eval orders such documents by their names.
"""
import json
import random

import pytrec_eval
import ranx
import scipy.stats


def pairs(rng):
    for n in [2, 3, 5, 10, 50, 200]:
        for ties in [False, True]:
            value = (lambda: float(rng.randint(0, 5))) if ties else (lambda: rng.uniform(-1, 1))
            a, b = [value() for _ in range(n)], [rng.uniform(-1, 1) for _ in range(n)]
            if len(set(a)) > 1:
                yield {"a": a, "b": b, "pearson": scipy.stats.pearsonr(a, b).statistic, "spearman": scipy.stats.spearmanr(a, b).statistic}


def searches(rng):
    for n in [1, 2, 5, 9, 10, 11, 40]:
        for most in [1, 3]:
            for _ in range(4):
                scores = rng.sample(range(1000), n)
                grades = [rng.choice([0, 0, rng.randint(1, most)]) for _ in range(n)]
                grades[rng.randrange(n)] = 1
                run = {"q": {f"d{i}": s / 1000 for i, s in enumerate(scores)}}
                qrels = {"q": {f"d{i}": g for i, g in enumerate(grades) if g > 0}}
                found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.10"}).evaluate(run)["q"]
                mrr = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), "mrr@10")
                yield {"scores": [s / 1000 for s in scores], "grades": grades, "ndcg": found["ndcg_cut_10"], "recall": found["recall_10"], "mrr": float(mrr)}


if __name__ == "__main__":
    rng = random.Random(5)
    print(json.dumps({"pairs": list(pairs(rng)), "searches": list(searches(rng))}))
