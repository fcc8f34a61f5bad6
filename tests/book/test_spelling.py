"""Spelling of pages and labs, in British English, by a dictionary and a list of our own."""

import gc
import re
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import nbformat
import pytest
import spylls
from spylls.hunspell import Dictionary

from lab_services import paths
from tests.book.prose import words

ROOT = paths.repository()
OWN = ROOT / "book" / "words.txt"
FILES = sorted([*ROOT.glob("book/**/*.md"), *ROOT.glob("book/*.yml"), *ROOT.glob("labs/*/*.ipynb")])
# The dictionary is American and knows both of some; the book keeps to one.
AMERICAN = re.compile(
    r"(?!\w*(?:siz|priz|seiz))\w+iz(?:e[sd]?|ing|ations?)"
    r"|(?:behavi|col|fav|hon|neighb)or\w*|(?:cancel|label|model|signal|travel)(?:ed|ing|ers?)"
    r"|centers?|catalogs?|gray|analyz\w+|defense|judgment",
    re.IGNORECASE,
)


@cache
def dictionary() -> Dictionary:
    data = Path(spylls.__file__).parent / "hunspell" / "data" / "en" / "en_US"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its files open
        read = Dictionary.from_files(str(data))
        gc.collect()
    return read


@cache
def known(word: str) -> bool:
    return bool(dictionary().lookup(word))


def own() -> list[str]:
    return OWN.read_text().split()


def misspelled(files: Iterable[Path], own: Iterable[str]) -> tuple[list[str], set[str]]:
    """What is wrong, with its place; and the words of the book's own that were met."""
    listed, wrong, met = set(own), {}, set()
    for file in files:
        for word, place in words(file):
            # A name is written as it is listed, another word may begin a sentence.
            if mine := {word, word[0].lower() + word[1:]} & listed:
                met |= mine
            elif AMERICAN.fullmatch(word):
                wrong[word] = f"{place}: {word} is American"
            elif not known(word):
                wrong[word] = f"{place}: {word}"
    return list(wrong.values()), met


def test_every_word_is_spelled_right() -> None:
    """A slip of the keyboard that nobody saw. A right word goes into book/words.txt."""
    wrong, met = misspelled(FILES, own())
    assert not wrong, "\n".join(wrong)
    assert not (unused := set(own()) - met), f"in book/words.txt and nowhere else: {unused}"


def test_the_list_is_in_order() -> None:
    """A list with a word twice, or one that two branches add to at the same place."""
    assert own() == sorted(set(own()), key=lambda word: (word.lower(), word))


@pytest.mark.parametrize("slip", ["recieve", "Teh", "utilization", "color", "unlistedd's"])
def test_a_slip_is_found(tmp_path: Path, slip: str) -> None:
    """A gate that never shuts; one that looks into code."""
    clean = (
        "# A heading\n\nA [link](http://reallyy.example), `codee`, {doc}`rolee`, $mathh$, p99.\n\n"
        "```{literalinclude} /a/filee.py\n```\n\n```{figure-from-run} serving/xyzz:a\nWell.\n```\n"
    )
    page, lab = tmp_path / "page.md", tmp_path / "lab.ipynb"
    page.write_text(clean)
    assert misspelled([page], []) == ([], set())
    page.write_text(f"{clean}\n\n```{{figure-from-run}} serving/xyz:a\nIn a {slip} caption.\n```\n")
    cells = [nbformat.v4.new_code_cell(slip), nbformat.v4.new_markdown_cell(f"| {slip} |\n|---|")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), lab)
    for file, place in ((page, str(page)), (lab, f"{lab}, cell 2")):
        (wrong,), _ = misspelled([file], ["Unlistedd"])
        word = slip.removesuffix("'s")
        assert wrong.startswith(f"{place}: {word}")
