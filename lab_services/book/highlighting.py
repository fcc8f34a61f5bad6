"""Code in pages, with a span only where a colour is: most of the elements of a lab's page were
spans around names and brackets, and a phone is slow with ten thousand elements."""

from collections.abc import Iterable, Iterator
from typing import Any

from pygments.formatters import HtmlFormatter
from pygments.token import Name, Operator, Punctuation, Text, Whitespace, _TokenType
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge

# What is read without a colour; lab.css gives it the text's.
_PLAIN = {Name, Name.Namespace, Operator, Punctuation, Whitespace}


def setup(_app: Sphinx) -> None:
    """Make it the formatter of every block of code."""
    PygmentsBridge.html_formatter = Lean


class Lean(HtmlFormatter):  # type: ignore[misc]
    """The formatter of Pygments, which is told that plain words are text."""

    def format(self, tokensource: Iterable[tuple[_TokenType, str]], outfile: Any) -> None:
        super().format(_plain(tokensource), outfile)


def _plain(tokens: Iterable[tuple[_TokenType, str]]) -> Iterator[tuple[_TokenType, str]]:
    for kind, text in tokens:
        yield (Text if kind in _PLAIN else kind), text
