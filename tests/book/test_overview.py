"""The pages of key numbers and of claims: what all chapters have measured."""

import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag

from lab_services.report import charts
from lab_services.report.claims import Claims, as_row
from lab_services.report.measurements import as_json
from lab_services.report.stats import Interval
from tests.warm import Warm

# The page's own directives on plain Sphinx with hand-made runs: no lab is executed.
CONFIG = """
extensions = ["myst_nb", "lab_services.book.extension"]
root_doc = "book/index"
exclude_patterns = ["_runs", "lab_services"]
html_theme = "sphinx_book_theme"
nb_execution_mode = "off"
"""
GAIN = Interval(1.4, 1.3, 1.5, 100, "ratio")
LOST = Interval.exact(3, "requests")
FIRST = """---
key_numbers:
  gain: What two gain
  lost: "Lost: in all"
---

# The first

Text.
"""
SECOND = "---\nkey_numbers: {gain: What more gain}\n---\n\n# The second\n"


def claim(text: str, verdict: str = "holds") -> dict:
    measured = as_json(GAIN) | {"text": str(GAIN)}
    reason = "" if verdict == "holds" else "the interval reaches over the bound"
    return {
        "text": text,
        "verdict": verdict,
        "measured": measured,
        "bound": "at least 1.2×",
        "reason": reason,
        "kind": "computed on stored data",
        "rival": "nothing is gained (1×)",
        "cell": 9,
    }


class Sources:
    """What the build lays out, made by hand; `build` gives Sphinx's output."""

    def __init__(self, root: Path, warm: Warm) -> None:
        self.root, self.warm = root, warm
        self.listed: list[str] = []
        self.write("conf.py", CONFIG)
        self.write(
            "book/index.md", "# A book\n\n```{toctree}\n:glob:\n*\n/book/*/*\n/labs/*/*\n```\n"
        )
        self.write("book/key-numbers.md", "# Key numbers\n\n```{key-numbers}\n```\n")
        self.write("book/claims.md", "# Claims\n\n```{claims-index}\n```\n")

    def write(self, name: str, text: str) -> None:
        file = self.root / "source" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def chapter(self, slug: str, page: str) -> None:
        self.write(f"book/{slug}.md", page)
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
        title = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": f"# Lab {slug}"}
        self.write(f"labs/{slug}.ipynb", json.dumps(notebook | {"cells": [title]}))
        self.write(f"lab_services/patterns/{slug}/compose.yaml", "")
        self.listed += [f"book/{slug}", f"labs/{slug}"]
        contents = {"root": "book/index", "chapters": [{"file": f} for f in self.listed]}
        self.write("_toc.yml", json.dumps(contents))

    def run(self, slug: str, runtime: str, *claims: dict, beside: bool = False) -> None:
        machine = {"processor": "A processor", "cores": 2, "memory": 1, "system": "", "python": ""}
        data = {
            "lab": slug,
            "runtime": runtime,
            "when": "2026-03-01T10:00:00+00:00",
            "length": "short" if runtime == "process" else "full",
            "error": None,
            "machine": machine,
            "measurements": {"gain": as_json(GAIN), "lost": as_json(LOST)},
            "claims": claims or [claim("it gains")],
        }
        place = f"_runs/{slug}/{runtime}" if beside else f"_runs/{slug}"
        self.write(f"{place}/measurements.json", json.dumps(data))
        self.write(f"{place}/published.json", "null")
        self.write(f"{place}/steady.json", "{}")

    def build(self) -> str:
        places = (str(self.root / "source"), str(self.root / "site"))
        done = self.warm.run("sphinx", "-q", "-W", "--keep-going", *places, together=True)
        assert (done.returncode == 0) == (not done.stdout), done.stdout
        return done.stdout

    def page(self, name: str) -> Tag:
        text = (self.root / "site" / f"{name}.html").read_text()
        return BeautifulSoup(text, "html.parser").find("article")  # type: ignore[return-value]


@pytest.fixture
def sources(tmp_path: Path, warm: Warm) -> Sources:
    """Two chapters, the first with a run of each runtime."""
    made = Sources(tmp_path, warm)
    made.chapter("serving/first", FIRST)
    made.run("serving/first", "docker", claim("it gains"), claim("it is quick"))
    made.run(
        "serving/first",
        "process",
        claim("it gains"),
        claim("it is quick", "not enough evidence"),
        beside=True,
    )
    made.chapter("qa/second", SECOND)
    made.run("qa/second", "process")
    return made


def rows(table: Tag) -> list[list[str]]:
    return [
        [
            " | ".join(cell.stripped_strings).replace("\xa0", " ")
            for cell in row.find_all(["th", "td"])
        ]
        for row in table.find_all("tr")
    ]


def test_key_numbers_and_claims_of_all_chapters(sources):
    """A number without its interval, machine or date; a verdict of one runtime for both."""
    assert sources.build() == ""
    page = sources.page("book/key-numbers")
    first, second = page.find_all("section", recursive=False)[0].find_all("section")
    assert (first["id"], first.h2.next) == ("serving-first", "The first")
    assert [link["href"] for link in first.p.find_all("a")] == [
        "serving/first.html",
        "../labs/serving/first.html",
    ]
    assert "Measured on 1 March 2026 on A processor (2 cores), in containers." in first.text
    assert "as plain processes, in a short run." in second.text
    assert rows(first.table) == [
        ["What was measured", "Value", "95 % interval"],
        ["What two gain", "1.4×", "1.3 to 1.5×"],
        ["Lost: in all", "3 requests", ""],
    ]
    assert rows(second.table)[1][0] == "What more gain"
    # The front matter is for this page only.
    assert "What two gain" not in sources.page("book/serving/first").text

    page = sources.page("book/claims")
    assert rows(page.table) == [
        ["Chapter", "Claims", "In containers", "As plain processes"],
        ["The first", "2", "2 hold", "1 holds, 1 lacks evidence"],
        ["The second", "1", "no run", "1 holds"],
        ["All", "3", "2 hold", "2 hold, 1 lacks evidence"],
    ]
    assert (
        page.table.find("a")["href"] == "#serving-first" == f"#{page.find_all('section')[1]['id']}"
    )
    first, second = page.find_all("table")[1:]
    measured = "1.4× (1.3 to 1.5×)"
    stated = "at least 1.2× | rival: nothing is gained (1×) | computed on stored data"
    assert rows(first) == [
        ["Claim", "In containers", "As plain processes"],
        [f"it gains | {stated}", f"holds | {measured}", f"holds | {measured}"],
        [
            f"it is quick | {stated}",
            f"holds | {measured}",
            f"not enough evidence | {measured} | the interval reaches over the bound",
        ],
    ]
    assert first.find("strong").text == "not enough evidence"
    assert rows(second)[0] == ["Claim", "As plain processes"]

    # What was repeated on other machines, where it was, and of this very claim.
    counts = {"bound": "at least 1.2×", "drawn": 24, "held": 23, "profiles": dict.fromkeys("abcde")}
    record = {"docker": {"short": {"claims": {"it gains": counts}}}}
    sources.write("_runs/serving/first/steady.json", json.dumps(record))
    assert sources.build() == ""
    first = rows(sources.page("book/claims").find_all("table")[1])
    repeated = "held 23 of 24 runs on 5 profiles"
    assert first[1][1:] == [f"holds | {measured} | {repeated}", f"holds | {measured}"]
    assert first[2][1] == f"holds | {measured}"

    # A chapter joins by being there, and a run of the other runtime by being made.
    sources.chapter("training/third", SECOND.replace("The second", "The third"))
    sources.run("training/third", "docker")
    sources.run("qa/second", "docker", beside=True)
    assert sources.build() == ""
    assert "The third" in sources.page("book/key-numbers").text
    assert ["The second", "1", "1 holds", "1 holds"] in rows(sources.page("book/claims").table)


def test_what_a_page_calls_key_and_the_run_does_not_hold_is_named(sources):
    """A key number that vanishes from the page when the lab gives it another name."""
    sources.chapter("serving/first", FIRST.replace("  lost:", "  gone:"))
    sources.chapter("qa/second", "# The second\n")
    sources.chapter("training/third", "---\nkey_numbers: gain\n---\n\n# The third\n")
    sources.run("training/third", "process")
    said = sources.build()
    assert re.search(r"book/serving/first\.md:4: WARNING: .* no number 'gone'", said), said
    assert re.search(r"book/qa/second\.md:1: WARNING: second\.md names no key numbers", said), said
    assert re.search(r"book/training/third\.md:1: WARNING: third\.md names no key", said), said


def test_what_could_not_be_measured_is_a_gap_that_says_why(sources):
    """A book that is not built, or has `nan` in a sentence, because a service did not answer."""
    reason = "3 requests, p50 latency needs 20"
    unknown = Interval.unknown(reason, "ratio", 3)
    drawn = charts.bars({"two": GAIN, "more": unknown}, name="gain", title="What is gained")
    claims = Claims()
    claims.measured("it gains", unknown, at_least=1.2, rival=("it costs", 0.8))
    page = "Two gain {measured}`serving/first:gain` ({measured-range}`serving/first:gain`).\n\n"
    page += (
        "```{figure-from-run} serving/first:gain\n```\n\n```{claims-from-run} serving/first\n```\n"
    )
    sources.chapter("serving/first", FIRST + page)
    sources.run("serving/first", "docker", *({**as_row(each), "cell": 9} for each in claims))
    data = json.loads((sources.root / "source/_runs/serving/first/measurements.json").read_text())
    data["measurements"]["gain"] = as_json(unknown)
    data["figures"] = {"gain": {"title": drawn.title, "alt": drawn.alt}}
    sources.write("_runs/serving/first/measurements.json", json.dumps(data))
    sources.write("_runs/serving/first/figures/gain.svg", drawn.svg)
    assert sources.build() == ""
    page = sources.page("book/serving/first")
    gaps = page.find_all(class_="not-known")
    assert [gap.text for gap in gaps] == ["not known", "not known"]
    for gap in gaps:
        assert gap["title"].startswith(f"not known ({reason}), measured on 1 March 2026")
    assert f"Not known: more: {reason}." in page.figure.find("desc").text
    assert rows(page.find(class_="lab-claims"))[1] == [
        "it gains | at least 1.2× | rival: it costs (0.8×) | measured on this run's services",
        "not known",
        f"not enough evidence | {reason}",
    ]
    numbers = rows(sources.page("book/key-numbers").table)
    assert numbers[1] == ["What two gain", f"not known | {reason}", ""]
    assert numbers[2] == ["Lost: in all", "3 requests", ""]
    index = rows(sources.page("book/claims").find_all("table")[1])
    assert index[1][1] == f"not enough evidence | not known | {reason}"


def test_half_a_chapter_is_named(sources):
    """A page of numbers without the chapter that nobody can run."""
    (sources.root / "source/labs/qa/second.ipynb").unlink()
    said = sources.build()
    assert re.search(r"book/claims\.md:3: WARNING: book/qa/second\.md has no lab", said), said
