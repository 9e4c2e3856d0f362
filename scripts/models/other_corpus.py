"""A corpus that is nothing like models/corpus.txt: 500 lines of text that lies on a Debian machine with Python anyway.

    python other_corpus.py > corpus.txt

Sentences of the licences in /usr/share/common-licenses and of Python's own manual (`pydoc_data`), from one word to many
hundreds, and a few dozen lines in other scripts, with control and combining characters. Seeded; nothing is downloaded.
"""
import pathlib
import pydoc_data.topics
import random
import re

LINES = 500
SCRIPTS = {"Greek": (0x3B1, 0x3C9), "Cyrillic": (0x430, 0x44F), "Arabic": (0x627, 0x64A), "Hebrew": (0x5D0, 0x5EA), "Devanagari": (0x905, 0x939),
           "Hangul": (0xAC00, 0xAD00), "Han": (0x4E00, 0x4F00), "Kana": (0x3042, 0x3093), "Latin": (0xC0, 0xFF), "emoji": (0x1F600, 0x1F640)}


def sentences():
    texts = [p.read_text(errors="replace") for p in sorted(pathlib.Path("/usr/share/common-licenses").iterdir())]
    texts += [text for _, text in sorted(pydoc_data.topics.topics.items())]
    for text in texts:
        for paragraph in re.split(r"\n\s*\n", text):
            one = " ".join(paragraph.split())
            yield from re.split(r"(?<=[.;:]) (?=[A-Z\"(])", one)
            yield one


def foreign(rng):
    for low, high in SCRIPTS.values():
        for words in (1, 5, 40):
            yield " ".join("".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 8))) for _ in range(words))
    yield from ("caf\u0065\u0301 na\u0131\u0308ve \u212b \ufb01n", "zero\u200bwidth\u00adsoft", "tab\there", "!!!", "...", "a", "I", "42", "3.14159e-10",
                "https://example.org/a?b=c&d=%20#e", "foo_bar(baz)[0] != None # TODO", "x" * 300, "MiXeD cAsE ALL CAPS")


def main():
    rng = random.Random(17)
    pool = sorted({s for s in sentences() if 1 <= len(s) <= 6000})
    # Six lines longer than any encoder's limit here.
    lines = [*dict.fromkeys(foreign(rng)), *(" ".join(rng.sample(pool, 60)) for _ in range(6))]
    pool = sorted(set(pool) - set(lines))
    pool.sort(key=len)
    # One out of every stretch of lengths, so that the long are as frequent as the short.
    wanted = LINES - len(lines)
    steps = [pool[min(len(pool) - 1, int(len(pool) * (i / wanted) ** 0.6))] for i in range(wanted)]
    lines += dict.fromkeys(steps)
    lines += rng.sample(sorted(set(pool) - set(lines)), LINES - len(lines))
    rng.shuffle(lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
