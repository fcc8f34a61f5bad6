"""The catalogue's own gates, and the pages that are drawn from it."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from lab_services import paths
from lab_services.book import catalogue
from lab_services.errors import LabError
from lab_services.paths import GROUPS
from tests.warm import Warm

ROOT = paths.repository()
SMALL = """
entries:
  - slug: serving/one
    title: One
    kind: pattern
    what: It is one.
    question: Is it one?
    situations: [Somebody wants one.]
    related:
      grows into: [serving/two]
      guards against: [serving/bad]
  - slug: serving/two
    title: Two
    kind: pattern
    what: It is two.
    question: Is it two?
    situations: [Somebody wants two., Somebody wants more.]
    related:
      together with: [qa/three]
  - slug: serving/bad
    title: Bad
    kind: anti
    what: It is bad.
    question: Is it bad?
    situations: [Somebody wants more.]
    related: {}
  - slug: qa/three
    title: Three
    kind: pattern
    what: It is three.
    question: Is it three?
    situations: [Somebody wants three.]
    related: {}
guide:
  - name: many
    title: How many
    ask: One or more?
    branches:
      - when: one
        take: [serving/one]
      - when: more
        ask: How many more?
        branches:
          - when: two
            take: [serving/two, serving/bad]
          - when: three
            take: [qa/three]
"""
CONF = """
extensions = ["myst_parser", "lab_services.book.guide", "lab_services.book.repository",
              "lab_services.book.durations"]
html_theme = "basic"
exclude_patterns = ["labs", "_runs"]
"""
PAGES = {
    "index": "# A book\n\n```{toctree}\nguide\nmap\nbook/serving/one\n```\n",
    "guide": "# Guide\n\n```{decision-guide}\n```\n\n## Seen\n\n```{situations}\n```\n",
    "map": "# Map\n\n```{pattern-overview}\n```\n\n```{pattern-map}\n```\n",
    "book/serving/one": "# One\n\nBeside {pattern}`qa/three`.\n",
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book with the small catalogue and one of its chapters; gives its root."""
    files = {"conf.py": CONF, "book/catalogue.yml": SMALL}
    files |= {f"{name}.md": text for name, text in PAGES.items()}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def build(warm: Warm) -> Callable[[Path], str]:
    """Build it by Sphinx alone, warnings being errors; gives what was said, if anything."""

    def sphinx(root: Path) -> str:
        words = ("-q", "-n", "-W", "--keep-going", ".", "_site")
        done = warm.run("sphinx", *words, folder=root, together=True)
        assert bool(done.returncode) == bool(done.stdout), done.stdout
        return done.stdout

    return sphinx


def page(root: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((root / "_site" / f"{name}.html").read_text(), "html.parser")


def test_the_catalogue_is_whole():
    """An entry lost, a relation to nothing, a question of the guide that leads nowhere."""
    read = catalogue.read(ROOT)
    kinds = Counter(entry.kind for entry in read.entries.values())
    assert kinds == {"pattern": 28, "anti": 8}
    assert {entry.group for entry in read.entries.values()} == set(GROUPS)
    assert all(read.relations(slug) for slug in read.entries)


def test_a_chapter_has_one_name():
    """A pattern that is called differently on its page and on the map."""
    read = catalogue.read(ROOT)
    assert read.written
    for slug in read.written:
        heading = re.search(r"^# (.+)$", (ROOT / f"book/{slug}.md").read_text(), re.MULTILINE)
        assert heading and heading[1] == read.entries[slug].title


def test_a_relation_is_told_by_both_sides(book):
    """A reader who comes from the other side, and is told nothing."""
    read = catalogue.read(book)
    assert read.relations("serving/one") == {
        "grows into": ["serving/two"],
        "guards against": ["serving/bad"],
    }
    assert read.relations("serving/bad") == {"guarded against by": ["serving/one"]}
    assert read.relations("qa/three") == read.relations("qa/three") | {
        "together with": ["serving/two"]
    }


FAULTS = {
    "a slug in no group": (
        ("serving/two\n", "kitchen/two\n"),
        "kitchen/two is in no group",
    ),
    "a slug that is there twice": (("slug: qa/three", "slug: serving/two"), "serving/two is there"),
    "an entry without its question": (
        ("    question: Is it two?\n", ""),
        "serving/two lacks quest",
    ),
    "an entry with too much": (
        ("    kind: anti\n", "    kind: anti\n    page: x\n"),
        "unknown page",
    ),
    "a kind that there is not": (("kind: anti", "kind: bad"), "serving/bad is of the kind 'bad'"),
    "an entry that nothing leads to": (("[Somebody wants three.]", "[]"), "qa/three has no situat"),
    "a relation to nothing": (
        ("[qa/three]\n  - slug", "[qa/four]\n  - slug"),
        "with qa/four, which",
    ),
    "a relation of no kind": (("grows into", "turns into"), "serving/one: no relation is called"),
    "a relation to itself": (("[qa/three]\n  - slug", "[serving/two]\n  - slug"), "with itself"),
    "a relation stated by both": (
        ("three.]\n    related: {}", "three.]\n    related: {together with: [serving/two]}"),
        "qa/three: together with serving/two is stated twice",
    ),
    "a guard against something good": (("[serving/bad]", "[serving/two]"), "which is a pattern"),
    "a circle": (
        ("together with: [qa/three]", "grows into: [serving/one]"),
        "in a circle: serving/",
    ),
    "a guide to nothing": (("[qa/three]\n", "[qa/four]\n"), "leads to qa/four"),
    "a guide that leaves one out": (
        ("[serving/two, serving/bad]", "[serving/two]"),
        "to serving/bad",
    ),
    "an answer that YAML reads as true": (
        ("when: one", "when: yes"),
        "True of the guide is no text",
    ),
    "an answer without an end": (("take: [serving/one]", "where: nowhere"), "either take or ask"),
    "no YAML": (("entries:", "entries: ["), "is not YAML"),
}


@pytest.mark.parametrize(("change", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_named(book, change, said):
    """Each fault alone, found and named with its file and its entry."""
    catalogue.check(book)
    file = book / catalogue.FILE
    assert change[0] in SMALL
    # The last one: what is a relation as well as an end of the guide is changed where it is meant.
    old, new = change
    text = new.join(SMALL.rsplit(old, 1)) if "guide" in said or "leads to" in said else None
    file.write_text(text or SMALL.replace(old, new, 1))
    with pytest.raises(LabError, match=re.escape(said)) as raised:
        catalogue.check(book)
    assert "book/catalogue.yml" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("serving/new", "book/serving/new.md has no entry: add one"),
        ("qa/two", "book/qa/two.md has no entry: it is serving/two here"),
    ],
)
def test_a_page_without_an_entry_is_named(book, name, said):
    """A chapter that neither the guide nor the map leads to, or that lies in another group."""
    (book / f"book/{name}.md").parent.mkdir(exist_ok=True)
    (book / f"book/{name}.md").write_text("# New\n")
    with pytest.raises(LabError, match=said):
        catalogue.check(book)


def test_a_book_may_have_no_catalogue(tmp_path):
    """Small books, as tests make them, refused."""
    catalogue.check(tmp_path)


def test_a_fault_stops_the_book_before_a_lab_is_run(book, warm):
    """Minutes of measuring for a book that cannot be built."""
    (book / catalogue.FILE).write_text(SMALL.replace("kind: anti", "kind: bad"))
    (book / "_toc.yml").write_text(yaml.safe_dump({"format": "jb-book", "root": "index"}))
    done = warm.run("lab_services.book", "--root", str(book))
    assert done.returncode == 1
    assert "book/catalogue.yml: serving/bad is of the kind 'bad'" in done.stderr
    assert not (book / "_build").exists()


def test_guide_and_map_lead_to_what_is_written(book, build):
    """A link to a chapter that is not there; a chapter without a link; a link within to nothing."""
    assert build(book) == ""
    guide, drawn = page(book, "guide"), page(book, "map")
    for shown in (guide, drawn):
        anchors = {tag["id"] for tag in shown.find_all(id=True)}
        inner = [a["href"][1:] for a in shown.select("[role=main] a[href^='#']")]
        assert inner and set(inner) <= anchors, set(inner) - anchors
        for box in shown.select(".lab-entry"):
            links = list(box.find_all("a", recursive=False))
            if box.get_text().startswith("One"):
                assert [a["href"] for a in links] == ["book/serving/one.html"]
                assert "planned" not in box.get_text()
            else:
                assert not links and "planned" in box.get_text()
            assert ("anti-pattern" in box.get_text()) == box.get_text().startswith("Bad")
    assert len(guide.select("#guide-many .lab-entry")) == 4
    assert [p.get_text() for p in guide.select("#guide-many .lab-ask")] == [
        "One or more?",
        "How many more?",
    ]
    # Two entries that share a situation share a row.
    (row,) = [tr for tr in guide.select("tr") if "wants more" in tr.get_text()]
    assert "Two" in row.get_text() and "Bad" in row.get_text()
    # What one grows into hangs below it; what the tree shows is not told again.
    one = drawn.select_one("li#serving-one")
    assert one.select_one("li#serving-two .lab-when").get_text() == "grows into"
    assert "Grows" not in one.get_text()
    assert drawn.select_one("li#serving-bad").get_text().count("Guarded against by: One") == 1
    assert [li.get_text() for li in drawn.select(".lab-chips li")] == [
        *("One", "Two planned", "Bad anti-pattern planned", "Three planned"),
    ]


def test_a_new_chapter_is_linked_at_once(book, build):
    """A map of yesterday: Sphinx reads again only what has changed."""
    assert build(book) == ""
    (book / "book/qa").mkdir()
    (book / "book/qa/three.md").write_text("---\norphan: true\n---\n\n# Three\n")
    assert build(book) == ""
    assert page(book, "map").select("li#qa-three .lab-entry > a[href='book/qa/three.html']")
    assert page(book, "guide").select(".lab-entry > a[href='book/qa/three.html']")
    (name,) = page(book, "book/serving/one").select("strong > a[href='../qa/three.html']")
    assert name.get_text() == "Three"
    (book / "book/qa/three.md").unlink()
    assert build(book) == ""
    assert not page(book, "map").select("li#qa-three .lab-entry > a")
    one = page(book, "book/serving/one")
    assert one.strong.get_text() == "Three" and not one.select("a[href*=three]")


def test_a_fault_is_a_warning_at_the_directive(book, build):
    """A page without its map, and nobody is told."""
    (book / catalogue.FILE).unlink()
    said = build(book)
    assert re.search(r"map\.md:3: .*book/catalogue\.yml is missing", said), said


def test_a_pattern_that_is_none_is_named(book, build):
    """A related pattern misspelt: bold, and leading nowhere for ever."""
    (book / "book/serving/one.md").write_text("# One\n\nLike {pattern}`serving/tow`.\n")
    said = build(book)
    assert re.search(r"one\.md:3: .*has no serving/tow", said), said


THEME = """
html_theme = "sphinx_book_theme"
html_theme_options = {"repository_url": "https://github.com/us/book/", "repository_branch": "us"}
"""
ADDRESS = "{repository}`LICENSE` in {repository}`.`\n\n```{clone}\nmake lab\n```\n"


def test_the_repository_has_one_address(book, build):
    """An old address on some page, after the repository has moved."""
    (book / "conf.py").write_text(CONF + THEME)
    (book / "index.md").write_text(f"{PAGES['index']}\n{ADDRESS}")
    assert build(book) == ""
    shown = page(book, "index")
    links = [a["href"] for a in shown.select("article a.external")]
    assert links == [
        "https://github.com/us/book/blob/us/LICENSE",
        "https://github.com/us/book",
    ]
    assert shown.select_one("article pre").get_text().split("\n")[:3] == [
        "git clone https://github.com/us/book",
        "cd book",
        "make lab",
    ]
    (book / "conf.py").write_text(CONF)
    (book / "index.md").write_text(f"{PAGES['index']}\n{ADDRESS}\n")
    assert len(re.findall("does not say where the repository is", build(book))) == 3


TIMES = (
    "It takes {lab-takes}`serving/one`; it took {lab-seconds}`serving/one`.\n\n"
    "```{lab-sections} serving/one\n```\n"
)


def kept_lab(root: Path, takes: str, *durations: float, length: str = "short") -> None:
    """An executed lab of sections 0, 1, 2 …, and its run."""
    cells = [nbformat.v4.new_markdown_cell(f"# One\n\n{takes} **Needs** nothing.")]
    for number, duration in enumerate(durations):
        cells.append(nbformat.v4.new_markdown_cell(f"## Section {number}"))
        cell = nbformat.v4.new_code_cell("pass", metadata={"papermill": {"duration": duration}})
        cells += [cell, nbformat.v4.new_code_cell("pass", metadata=cell.metadata)]
    lab, run = root / "labs/serving/one.ipynb", root / "_runs/serving/one/measurements.json"
    for file in (lab, run):
        file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), lab)
    machine = {"processor": "Abacus", "cores": 2}
    when = "2026-11-22T10:00:00+00:00"
    data = {"lab": "serving/one", "runtime": "docker", "when": when, "machine": machine}
    run.write_text(
        json.dumps(data | {"error": None, "length": length, "seconds": 2 * sum(durations)})
    )


def test_times_come_from_the_run(book, build):
    """An instructor's plan from numbers that somebody typed a year ago."""
    kept_lab(book, "**Takes** about\nan hour.", 10, 0.1, 20.4)
    (book / "index.md").write_text(f"{PAGES['index']}\n{TIMES}")
    assert build(book) == ""
    text = page(book, "index").select_one("[role=main]").get_text()
    assert "It takes about an hour; it took 61 s in a short run." in text
    rows = [[td.get_text() for td in tr.select("td")] for tr in page(book, "index").select("tr")]
    assert rows[1:] == [["Section 0", "20 s"], ["Section 2", "41 s"]]
    assert "in containers" in text and "It was a short run" in text
    kept_lab(book, "**Takes** about an hour.", 10, length="full")
    assert build(book) == ""
    assert "it took 20 s." in page(book, "index").get_text()


def test_times_that_are_not_there_are_named(book, build):
    """A plan with holes."""
    (book / "index.md").write_text(f"{PAGES['index']}\n{TIMES}")
    assert "There is no lab serving/one" in build(book)
    kept_lab(book, "Takes an hour.", 0)
    said = build(book)
    assert "does not say what it takes" in said and "has not been run" in said
