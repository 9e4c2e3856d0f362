"""Writes the built-in policies: what each level promises, with what honest conversions of real models measure.

    python calibrate.py REPORTS_DIR     (reports MODEL--FORMAT--CORPUS.json; the policies go to src/policy)

The promises are decisions and stand in LEVELS; what is measured stands beside each limit as its `why`, so that a reader sees
which formats keep it, on how many models and texts, and by how much.
"""
import collections
import json
import pathlib
import sys

#: What people who search with the vectors notice, in their words, and the limits that hold it.
LEVELS = {
    "strict": ("What half precision and 8 bits keep: at most one search in twenty finds another first hit.",
               {"similarity_shift": 0.03, "top1_agreement": 0.95, "top10_overlap": 0.95, "relative_distance": 0.003}),
    "standard": ("What is fit for general use: at most one search in ten finds another first hit.",
                 {"similarity_shift": 0.15, "top1_agreement": 0.9, "top10_overlap": 0.9, "relative_distance": 0.03}),
    "lenient": ("What a rough search bears: at most one search in three finds another first hit.",
                {"similarity_shift": 0.5, "top1_agreement": 0.67, "top10_overlap": 0.7, "relative_distance": 0.3}),
    "faithful": ("Is the candidate what its format makes of this original? Nothing is asked of what the format costs.", {}),
}

MEANS = {
    "similarity_shift": "root mean square change of the similarities of all pairs of rows, over their standard deviation",
    "top1_agreement": "share of searches that find the same first hit",
    "top10_overlap": "share of the first ten hits that stay",
    "relative_distance": "how far a row's vector moved (1 - cosine, 99th percentile), over the mean distance of two rows",
}

#: Most that may be lost of a score on labels, where labels are given: half a point of a hundred, one point, three points.
LABELS = {"strict": 0.005, "standard": 0.01, "lenient": 0.03}
SCORES = {"spearman": "rank correlation of similarities with people's scores", "ndcg_at_10": "nDCG of the first ten documents"}

#: Metrics whose larger values are better.
SHARES = ("top1_agreement", "top10_overlap")

#: Formats from the finest, by the names of the folders.
FORMATS = {"float16": "float16", "bfloat16": "bfloat16", "affine 8 g64": "8 bits", "mxfp8": "mxfp8", "affine 6 g64": "6 bits",
           "affine 5 g64": "5 bits", "affine 4 g64": "4 bits", "nvfp4": "nvfp4", "mxfp4": "mxfp4", "affine 3 g64": "3 bits"}

#: What was measured on models/labels (scripts/models/labels.py).
LOST = {"spearman": "on models/labels the shipped model loses 1.6e-05 at 8 bits and -0.001 at 4 bits", "ndcg_at_10": "on models/labels the shipped model loses 0.0006 at 8 bits and 0.00095 at 4 bits"}

ENGINE = (("p99", 1e-05, 10), ("max", 1e-04, 23))


def measured(folder):
    """{format: {metric: [value per model and corpus]}}, {format: models}, the corpora, and the engine's largest errors."""
    by_format, corpora, engine = collections.defaultdict(lambda: collections.defaultdict(list)), set(), {}
    models = collections.defaultdict(set)
    for path in sorted(folder.glob("*--*--*.json")):
        model, form, corpus = path.stem.split("--")
        report = json.loads(path.read_text())
        if report["faithful"] != "yes":
            raise SystemExit(f"{path.name}: an honest conversion is not called faithful: {report['reasons'][:1]}")
        models[form].add(model)
        corpora.add(corpus)
        for metric in MEANS:
            by_format[form][metric].append(report["sentence"]["neighbours"][metric])
        for m in report["measurements"]:
            if (m["arm"], m["metric"], m["mode"]) == ("engine", "relative_l2", "accumulated"):
                for stat, _, _ in ENGINE:
                    engine[stat] = max(engine.get(stat, (0, "")), (m[stat], f"{model}, {m['tap']}"))
    return by_format, models, sorted(corpora), engine


def figure(x):
    return f"{x:.2g}" if x < 0.1 else f"{x:.3f}".rstrip("0").rstrip(".")


def seen(by_format, models, metric):
    """`8 bits 0.005 to 0.014 (5 models), 6 bits …`: the range over models and texts."""
    ranges = ((name, by_format[form][metric], len(models[form])) for form, name in FORMATS.items() if by_format[form][metric])
    return ", ".join(f"{name} {figure(min(v))} to {figure(max(v))} ({n} models)" for name, v, n in ranges)


def gate(**keys):
    written = lambda v: json.dumps(v, ensure_ascii=False) if isinstance(v, (str, bool)) else v
    lines = [f"{k} = {written(v)}" for k, v in keys.items()]
    return "\n[[gate]]\n" + "\n".join(lines) + "\n"


def main():
    by_format, models, corpora, engine = measured(pathlib.Path(sys.argv[1]))
    on = f"on {len(set().union(*models.values()))} models and {len(corpora)} kinds of text"
    for level, (promise, limits) in LEVELS.items():
        text = f"# {promise}\n# Written by scripts/calibrate from measured reports.\nschema = 1\n"
        for stat, limit, _ in ENGINE:
            value, where = engine[stat]
            text += gate(on="*", arm="engine", metric="relative_l2", stat=stat, max=limit,
                         why=f"the control must reproduce the reference: measured at most {value:.1e} ({where}) {on}; float32 rounding of "
                             "another summation order, no more")
        for metric, limit in limits.items():
            stat = "p99" if metric == "relative_distance" else "mean"
            side = {"min" if metric in SHARES else "max": limit}
            text += gate(on="neighbours", metric=metric, stat=stat, **side, why=f"{MEANS[metric]}; normal over up to {len(corpora)} kinds of text: {seen(by_format, models, metric)}")
        for metric, means in SCORES.items() if level in LABELS else ():
            text += gate(on="task", metric=metric, max_drop=LABELS[level], if_given=True, why=f"what the candidate loses of the {means}; {LOST[metric]}")
        (pathlib.Path("src/policy") / f"{level}.toml").write_text(text)
        print(f"{level}: {len(limits)} limits on what a format costs")


if __name__ == "__main__":
    main()
