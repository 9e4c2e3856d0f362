"""What scripts/bench_peers measured, as a table (results.md) and as a picture (results.svg)."""
import statistics

NAMES = {"own": "parallax", "ort": "ONNX Runtime from Rust, all taps", "ort-all": "ONNX Runtime", "ort-extended": "ONNX Runtime, extended",
         "ort-all-within": "ONNX Runtime, threads within", "rten": "rten", "tract": "tract", "candle": "candle", "torch": "PyTorch"}
MODELS = {"minilm": "MiniLM-L6", "base": "BERT-base"}
BAR, STEP, LEFT, WIDTH = 16, 22, 250, 420


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def label(row):
    return f"{MODELS[row['model']]}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"


def write(results, folder):
    encoder = [r for r in results if "times as fast as" in r]
    (folder / "results.md").write_text(table(results, encoder), encoding="utf-8")
    corpus = [r for r in encoder if r["case"] == "corpus, best batches"]
    if corpus:
        (folder / "results.svg").write_text(picture(corpus), encoding="utf-8")


def table(results, encoder):
    lines = []
    if encoder:
        others = sorted({w for r in encoder for w in r["times as fast as"]}, key=lambda w: list(NAMES).index(w))
        lines += ["How many times as fast as each the encoder is: median and range of interleaved rounds.", "",
                  "| model | work | GFLOP/s | share of peak | " + " | ".join(NAMES[w] for w in others) + " |", "|---" * (4 + len(others)) + "|"]
        for r in encoder:
            cells = [spread(r["times as fast as"][w]) if w in r["times as fast as"] else "-" for w in others]
            lines.append(f"| {label(r)} | {r['case']} | {r['GFLOP/s']:.0f} | {r['share of peak']:.0%} | " + " | ".join(cells) + " |")
    for r in results:
        if r["case"] == "load":
            lines += ["", f"{label(r)}: opening the 8-bit candidate takes {spread(r['ratio'])} of the time ONNX Runtime needs to create its session."]
        if r["case"] == "check":
            ratios = ", ".join(f"{name} {spread(v)}" for name, v in r["ratios"].items())
            lines += ["", f"{label(r)}, {r['rows']} sentences, as multiples of the time ONNX Runtime alone needs ({r['ort batches']}): {ratios}."]
    return "\n".join(lines) + "\n"


def picture(corpus):
    """A bar per contestant: sentences per second, ONNX Runtime's best being 1."""
    body, y = [], 34
    for r in corpus:
        times = {w: statistics.median(v) for w, v in r["times as fast as"].items()}  # their time over ours
        best = min(t for w, t in times.items() if w.startswith("ort"))
        speed = {"own": best} | {w: best / t for w, t in times.items()}
        body.append(f'<text x="0" y="{y}" class="model">{label(r)}</text>')
        y += 10
        for who, value in sorted(speed.items(), key=lambda s: -s[1]):
            body.append(f'<text x="{LEFT - 8}" y="{y + BAR - 4}" text-anchor="end">{NAMES[who]}</text>'
                        f'<rect x="{LEFT}" y="{y}" width="{value / 1.6 * WIDTH:.0f}" height="{BAR}" class="{"own" if who == "own" else "other"}"/>'
                        f'<text x="{LEFT + value / 1.6 * WIDTH + 6:.0f}" y="{y + BAR - 4}">{value:.2f}</text>')
            y += STEP
        y += 26
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 60} {y}" font-family="sans-serif" font-size="12" role="img" '
            'aria-label="Speed of encoders over a corpus">\n<style>text{fill:#57606a}.model{font-weight:bold}.own{fill:#2f6feb}.other{fill:#afb8c1}</style>\n'
            '<text x="0" y="12">512 sentences of 5 to 60 tokens, each in its own best batches; the best ONNX Runtime is 1, longer is faster</text>\n'
            + "\n".join(body) + "\n</svg>\n")
