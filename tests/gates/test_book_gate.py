"""The book's gate: a good book is built, and one with a fault is not. Each fault alone."""

import re

import pytest

from tests.gates.small_book import CLAIM, GOOD, MEASURE, PAGE, SETTLE, TOC

pytestmark = pytest.mark.timeout(120)


def test_good_book_is_built_from_its_run(book, build):
    """A gate that is always shut; a page without its numbers; a page that asks another host."""
    root = book(*GOOD)
    file = root / "runs/process/serving/small/measurements.json"
    file.write_text(file.read_text().replace('"replayed": null', '"replayed": "2026-03-01"'))
    built = build(root)
    assert built.returncode == 0, built.stdout
    assert "kept" in built.stdout and "made now" not in built.stdout
    page = (root / "_build/html/book/serving/small.html").read_text()
    assert "It gains <span" in page and ">1.4" in page
    assert "worked out anew" in page
    assert "The gain." in page and "<svg" in page and "it gains" in page
    assert "<math" in page and "app = <span" in page
    # Its style is one sheet, with the theme's colours of code for the dark among it.
    (sheet,) = re.findall(r'rel="stylesheet" href="([^"]+)"', page)
    style = (root / "_build/html/book/serving" / sheet).read_text()
    assert 'html[data-theme="dark"] .highlight .k ' in style
    lab = (root / "_build/html/labs/serving/small.html").read_text()
    assert "holds: it gains" in lab and "<svg" in lab
    for text in (page, lab):
        assert not re.findall(
            r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?:https?:)?//", text
        )
        assert "unpkg" not in text and "jsdelivr" not in text and "cdnjs" not in text
    # A changed lab is run again: no number of yesterday's lab under today's text. And what the
    # run could not show is said.
    book(MEASURE.replace("1.4, 1.3, 1.5", "2.4, 1.1, 3.5"), *GOOD[1:])
    changed = build(root)
    assert changed.returncode == 0, changed.stdout
    assert "made now" in changed.stdout
    page = (root / "_build/html/book/serving/small.html").read_text()
    assert ">2.4" in page and ">1.4" not in page and "worked out anew" not in page
    assert "not enough evidence" in page


HOLES = {
    "```{figure-from-run} serving/small:gone\n```": "no figure 'gone'",
    "{measured}`serving/small:gone`": "no number 'gone'",
    "{measured-range}`serving/other:gain`": "no kept run in",
    "{measured}`gain`": "names nothing in a run",
    "{doc}`/labs/serving/gone`": "unknown document",
    "{numref}`serving/small:gone`": "undefined label",
    "```{in-browser} serving/small:gone\n```": "has no browser/main.js",
}


def test_holes_are_named(book, build):
    """A page or a lab with a hole where a number, a figure or a link should be."""
    page, places = PAGE, {}
    for asked, said in HOLES.items():
        page += "\n"
        places[page.count("\n") + 1] = said
        page += f"{asked}\n"
    cell = (
        "A lab's own text asks for {measured}`serving/small:gone`.\n\n"
        "```{figure-from-run} serving/small:lost\n```"
    )
    root = book(*GOOD, page=page, text=cell)
    assert build(root).returncode != 0
    # Also the second time, when nothing has changed since.
    built = build(root)
    assert built.returncode != 0
    for line, said in places.items():
        assert re.search(rf"book/serving/small\.md:{line}: WARNING: .*{said}", built.stdout), (
            f"{said} in line {line} of:\n{built.stdout}"
        )
    for said in ("no number 'gone'", "no figure 'lost'"):
        place = r"labs/serving/small\.ipynb, cell 1:\d+"
        assert re.search(rf"{place}: WARNING: .*{said}", built.stdout), built.stdout


def test_one_hole_is_enough(book, build):
    """A build that fails only when several things are wrong."""
    assert build(book(*GOOD, page=f"{PAGE}\n{{measured}}`serving/small:gone`\n")).returncode != 0


def test_failing_lab_is_a_gap(book, build):
    """No book where a server is missing; a number of a lab that broke off taken for a result."""
    page = f"{PAGE}\nSee {{numref}}`serving/small:gain` of {{lab-seconds}}`serving/small`.\n"
    page += "It takes {lab-takes}`serving/small`.\n"
    root = book(MEASURE, "1 / 0", page=page, text="**Takes** 5 minutes. **Needs** nothing.")
    (root / "book/index.md").write_text(
        "# A book\n\n```{key-numbers}\n```\n\n```{claims-index}\n```\n"
    )
    built = build(root)
    assert built.returncode == 0, built.stdout
    why = "serving/small, cell 3: ZeroDivisionError"
    assert f"did not come to its end: {why}" in built.stdout
    page = (root / "_build/html/book/serving/small.html").read_text()
    assert why in page and "not known" in page and "1.4" not in page
    assert why in (root / "_build/html/book/index.html").read_text()
    assert build(root, "--publish").returncode != 0


def test_a_claim_that_does_not_hold_is_shown(book, build):
    """A reader without a book, because one claim fails on this machine; or a claim hidden."""
    root = book(*GOOD[:2], CLAIM.replace("1.2", "2"), SETTLE)
    built = build(root)
    assert built.returncode == 0, built.stdout
    assert f"lab run serving/small --runtime process --out {root / 'runs'}" in built.stdout
    page = (root / "_build/html/book/serving/small.html").read_text()
    assert "misses the bound by at least" in page and "published book" not in page
    assert build(root, "--publish").returncode != 0
    # The site's own claims, as if they had been measured elsewhere and had held.
    published = root / "published.json"
    written = (root / "_build/html/claims.json").read_text()
    published.write_text(written.replace("measured on", "measured elsewhere on"))
    assert build(root, "--published", str(published)).returncode == 0
    page = (root / "_build/html/book/serving/small.html").read_text()
    assert "The same in the published book, measured elsewhere on" in page


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("book/serving/small.md", "labs/serving/small.ipynb has no page"),
        ("labs/serving/small.ipynb", "book/serving/small.md has no lab"),
        (
            "lab_services/patterns/serving/small/compose.yaml",
            "has no stack lab_services/patterns/serving/small",
        ),
    ],
)
def test_half_a_chapter_stops_the_book(book, build, missing, said):
    """A lab that no page leads to, or a page whose lab is somewhere else."""
    root = book(*GOOD)
    (root / missing).unlink()
    built = build(root)
    assert built.returncode != 0
    assert said in built.stdout


def test_chapter_outside_the_contents_stops_the_book(book, build):
    """A chapter that was written and is not in the book."""
    built = build(book(*GOOD, toc=TOC[: TOC.index("    sections")]))
    assert built.returncode != 0
    assert "labs/serving/small is not in _toc.yml" in built.stdout


def test_runs_of_one_runtime_are_not_taken_for_none(book, build):
    """Every lab run anew, in minutes, because its run was looked for one folder above."""
    root = book(*GOOD)
    run = root / "kept/docker/serving/small/measurements.json"
    run.parent.mkdir(parents=True)
    run.write_text("{}")
    refused = build(root, "--runs", str(root / "kept/docker"))
    assert refused.returncode == 1
    assert f"Give the folder above: {root / 'kept'}" in refused.stdout
    assert not (root / "_build").exists()
