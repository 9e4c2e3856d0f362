"""Opens report.html in a real browser and holds what is seen there against report.json.

    python check.py REPORT_DIR...        (CHROMIUM names the browser where it is not on the PATH)

Seen to: it renders, its script runs, nothing is written to the console, nothing is asked of the network, every number in
the page is report.json's, and text that others wrote is text: what it would have run has not run.
"""
import html.parser
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-default-apps", "--hide-scrollbars"]


class Page(html.parser.HTMLParser):
    """Elements with data-path and what is read in them; tags and ids."""

    def __init__(self):
        super().__init__()
        self.numbers, self.tags, self.ids, self.open = [], {}, [], None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if "id" in attrs:
            self.ids.append(attrs["id"])
        handlers = [name for name in attrs if name.startswith("on")]
        if handlers:
            raise SystemExit(f"<{tag}> has {handlers}: text became markup")
        if "data-path" in attrs:
            self.open = [attrs["data-path"], attrs.get("data-v"), ""]

    def handle_data(self, data):
        if self.open:
            self.open[2] += data

    def handle_endtag(self, tag):
        if self.open and tag in ("td", "span"):
            self.numbers.append(tuple(self.open))
            self.open = None


def at(report, pointer):
    for key in pointer.split("/")[1:]:
        report = report[int(key)] if isinstance(report, list) else (report or {}).get(key)
    return report


def shown(value):
    """As the page writes a number for people: three significant digits."""
    if value is None:
        return "–"
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    trim = lambda text: text.rstrip("0").rstrip(".") if "." in text else text
    return trim(f"{value:.{max(0, 2 - int(exponent))}f}") if -4 <= int(exponent) < 6 else f"{trim(mantissa)}e{int(exponent)}"


def run(browser, page, *more):
    with tempfile.TemporaryDirectory() as profile:
        log = pathlib.Path(profile, "net.json")
        command = [browser, *FLAGS, f"--user-data-dir={profile}/profile", f"--log-net-log={log}", "--enable-logging=stderr", *more, page.resolve().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        # A browser asks for things of its own accord; what a page asks for has an origin.
        starts = re.findall(r'"initiator":"([^"]*)".*?"url":"([^"]+)"', log.read_text(errors="replace") if log.exists() else "")
        return done, sorted({url for origin, url in starts if origin != "not an origin" and not url.startswith(("file:", "data:"))})


def check(browser, folder):
    page, report = folder / "report.html", json.loads((folder / "report.json").read_text())
    done, asked = run(browser, page, "--dump-dom", "--virtual-time-budget=3000")
    dom = done.stdout
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints, f"{page}: the console says {complaints}"
    assert not asked, f"{page}: asked the network for {asked}"
    seen = Page()
    seen.feed(dom)
    assert report["verdict"].upper() in dom and seen.tags.get("svg", 0) > 3, f"{page}: does not render"
    assert seen.tags.get("script") == 1 and not seen.tags.get("img") and not seen.tags.get("iframe"), f"{page}: {seen.tags}"
    assert seen.tags.get("button", 0) > 5, f"{page}: its script did not run"
    assert len(seen.ids) == len(set(seen.ids)), f"{page}: ids twice"
    compared = 0
    for path, exact, text in seen.numbers:
        if not path:
            assert exact == "" and text == "–", f"{page}: {text!r} stands nowhere in report.json"
            continue
        value = at(report, path)
        words = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
        number = words.get(value, value)
        same = exact == "" if number is None else exact == value or float(exact) == number
        assert same, f"{page}: {path} is {exact} in the page, {value} in report.json"
        grouped = f"{number:,}" if isinstance(number, int) else None
        assert text in (shown(number), grouped), f"{page}: {path} reads {text}, and is {value}"
        compared += 1
    assert compared > 100, f"{page}: only {compared} numbers found"
    for name, more in (("light", ["--window-size=1200,2400"]), ("narrow", ["--window-size=400,2400"])):
        picture = folder / f"{name}.png"
        run(browser, page, *more, f"--screenshot={picture.resolve()}")
        assert picture.stat().st_size > 20_000, f"{picture}: is empty"
        picture.unlink()
    print(f"{page}: {report['verdict'].upper()}, {compared} numbers as in report.json, {len(dom):,} bytes, console and network silent")


def control(browser):
    """A page that does what a report must not: this script has to notice."""
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder, "bad.html")
        page.write_text("<img src='http://parallax.invalid/a.png'><script>console.error('seen')</script>")
        done, asked = run(browser, page, "--dump-dom", "--virtual-time-budget=3000")
        assert asked == ["http://parallax.invalid/a.png"], f"requests of a page are not seen: {asked}"
        assert "CONSOLE" in done.stderr, "the console is not seen"


def main():
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not browser:
        sys.exit("no browser found: install chromium, or name one in CHROMIUM")
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    control(browser)
    for folder in sys.argv[1:]:
        check(browser, pathlib.Path(folder))


if __name__ == "__main__":
    main()
