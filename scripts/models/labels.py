"""Labelled sentences made of the templates of corpus.py: pairs with a score, and a search with judged documents.

    python labels.py models/labels

Nobody was asked: a label is how many of a sentence's parts (who, what, where, when, about what) two sentences share. Two
wordings of one sentence are 5, each part that differs takes an equal share, sentences of another kind are 0. In the search
the other wording of a query's sentence has the grade 2, a sentence with one other part the grade 1. Seeded.
"""
import csv
import json
import pathlib
import random
import sys

import corpus

PAIRS, QUERIES, DOCUMENTS, NEAR = 400, 120, 900, 3


def action():
    return [corpus.PEOPLE, corpus.VERBS, corpus.ADJECTIVES, corpus.THINGS, corpus.PLACES, corpus.TIMES], (
        lambda who, v, a, thing, place, time: (f"{who} {v[0]} the {a[0]} {thing} {place} {time}.", f"{time}, {who} {v[1]} the {a[1]} {thing} {place}."))


def question():
    return [corpus.QUESTIONS, corpus.ACTIONS], lambda q, do: (q[0].format(do=do), q[1].format(do=do))


def report():
    return [corpus.REPORTS, corpus.TOPICS], lambda r, topic: (r[0].format(t=topic), r[1].format(t=topic))


def talk():
    return [corpus.PEOPLE, corpus.PEOPLE, corpus.ADJECTIVES, corpus.THINGS, corpus.TOPICS], (
        lambda who, other, a, thing, topic: (f"{who} told {other} about {topic} while looking for the {a[0]} {thing}.",
                                             f"While searching for the {a[1]} {thing}, {who} talked to {other} about {topic}."))


KINDS = [action, question, report, talk]


class Sentence:
    def __init__(self, kind, parts):
        self.kind, self.parts = kind, parts

    def words(self, wording):
        text = KINDS[self.kind]()[1](*self.parts)[wording]
        return text[0].upper() + text[1:]

    def shared(self, other):
        """Of the parts, how many are the same; and of how many."""
        if self.kind != other.kind:
            return 0, len(self.parts)
        return sum(a == b for a, b in zip(self.parts, other.parts)), len(self.parts)

    def changed(self, rng, count):
        """The same with `count` other parts."""
        choices, parts = KINDS[self.kind]()[0], list(self.parts)
        for i in rng.sample(range(len(parts)), count):
            parts[i] = rng.choice([c for c in choices[i] if c != parts[i]])
        return Sentence(self.kind, tuple(parts))


def sentence(rng):
    kind = rng.randrange(len(KINDS))
    return Sentence(kind, tuple(rng.choice(choices) for choices in KINDS[kind]()[0]))


def pairs(rng):
    for i in range(PAIRS):
        one = sentence(rng)
        # Of six, one is the same sentence, one is another one, and four share some of their parts.
        other = sentence(rng) if i % 6 == 5 else one.changed(rng, 0 if i % 6 == 0 else rng.randint(1, len(one.parts)))
        shared, of = one.shared(other)
        yield one.words(0), other.words(1), round(5 * shared / of, 2)


def search(rng):
    asked = {}
    while len(asked) < QUERIES:
        one = sentence(rng)
        asked.setdefault(one.words(0), one)
    found = {}
    for one in asked.values():
        found[one.words(1)] = one
        for _ in range(NEAR):
            near = one.changed(rng, 1)
            found.setdefault(near.words(1), near)
    while len(found) < DOCUMENTS:
        one = sentence(rng)
        found.setdefault(one.words(1), one)
    documents = sorted(found.items())
    rng.shuffle(documents)
    for q, (text, one) in enumerate(asked.items()):
        grades = {}
        for d, (_, other) in enumerate(documents):
            shared, of = one.shared(other)
            if of - shared <= 1:
                grades[d] = 2 - (of - shared)
        yield f"q{q}", text, grades
    yield documents


def main():
    out, rng = pathlib.Path(sys.argv[1]), random.Random(11)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "pairs.tsv", "w", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE)
        table.writerow(["sentence1", "sentence2", "score"])
        table.writerows(pairs(rng))
    *queries, documents = search(rng)
    line = lambda **row: json.dumps(row) + "\n"
    (out / "queries.jsonl").write_text("".join(line(_id=q, text=text) for q, text, _ in queries))
    (out / "corpus.jsonl").write_text("".join(line(_id=f"d{d}", title="", text=text) for d, (text, _) in enumerate(documents)))
    grades = [f"{q}\td{d}\t{grade}\n" for q, _, all in queries for d, grade in all.items()]
    (out / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(grades))


if __name__ == "__main__":
    main()
