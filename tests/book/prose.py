"""The words of a page or a lab that a reader reads: without code, roles, formulas and addresses."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import yaml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

_EXTENSIONS = {"colon_fence", "deflist", "dollarmath", "substitution", "tasklist"}
_PARSER = create_md_parser(MdParserConfig(enable_extensions=_EXTENSIONS), RendererHTML)
_CODE = {"clone", "code", "code-block", "code-cell", "literalinclude", "math"}
_OPTION = re.compile(r"^:[\w-]+:.*\n?", re.MULTILINE)
_WORD = re.compile(r"\w+(?:['’]\w+)*")
# Capitals are abbreviations; what holds a digit is a measure or a name in code.
_NO_WORD = re.compile(r".*[\d_].*|[A-Z]+s?|.")


def words(file: Path) -> Iterator[tuple[str, str]]:
    """Each word with its place, `file` or `file, cell 3`."""
    for text, place in texts(file):
        for word in _WORD.findall(text):
            word = re.sub(r"['’]s?$", "", word.replace("’", "'"))
            if not _NO_WORD.fullmatch(word):
                yield word, place


def texts(file: Path) -> Iterator[tuple[str, str]]:
    """What a reader reads, piece by piece, with its place."""
    for markdown, place in _sources(file):
        yield from ((text, place) for text in _prose(_PARSER.parse(markdown)))


def _sources(file: Path) -> Iterator[tuple[str, str]]:
    if file.suffix == ".ipynb":
        notebook = nbformat.read(file, as_version=4)
        for number, cell in enumerate(notebook.cells, 1):
            if cell.cell_type == "markdown":
                yield cell.source, f"{file}, cell {number}"
    elif file.suffix == ".yml":
        yield from ((text, str(file)) for text in _texts(yaml.safe_load(file.read_text())))
    else:
        yield file.read_text(), str(file)


def _prose(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "text":
            yield token.content
        elif token.type in ("fence", "colon_fence") and token.info.startswith("{"):
            name, _, argument = token.info[1:].partition("}")
            if name not in _CODE:
                # The argument is a title or, of our own directives, the name of a run.
                yield "" if "/" in argument else argument
                yield from _prose(_PARSER.parse(_OPTION.sub("", token.content)))
        elif token.children:
            yield from _prose(token.children)


def _texts(data: Any) -> Iterator[str]:
    """The sentences of a YAML file; what has no space is a name."""
    if isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)
    elif isinstance(data, str) and " " in data:
        yield data
