"""YAML as Compose reads it: plain values, where each of them stands, and every problem at once.

Compose's library follows YAML 1.2 where PyYAML follows 1.1: `NO` and `on` are texts there, `017` is
fifteen and 2013-01-01 a time. What both read alike is read here. A number that Compose would write
otherwise is kept as it stands, and marked as odd, for whoever wants a text to refuse.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import yaml

from lab_services.errors import LabError

Place = tuple[str, ...]
"""The keys that lead to a part of the file."""

_DEEPEST = 50  # levels: more is a mistake, and would end the interpreter's own stack
_MOST = 20_000  # parts: aliases of aliases make a thousand millions of a few lines
_SHOWN = 20  # problems: nobody reads more

_VARIABLE = re.compile(
    r"(?P<escaped>\$\$)|\$(?P<plain>[A-Za-z_]\w*)"
    r"|\$\{(?P<name>[A-Za-z_]\w*)(?:(?P<operator>:-|:\?)(?P<rest>[^${}\n]*))?\}|\$(?:\{[^}]*\}?|.?)",
    re.ASCII,
)
# A fraction of a million and more is written with an exponent there.
_SIMPLE = re.compile(r"-?(0|[1-9]\d{0,14})|-?(0|[1-9]\d{0,5})\.(?=\d{1,3}$)\d*[1-9]", re.ASCII)
_ODD = re.compile(
    r"[-+]?(\.\d[\d_]*|\d[\d_]*(\.[\d_]*)?)(e[-+]?\d+)?|[-+]?0[xob]\w+|[-+]?\.(inf|nan)"
    r"|\d{4}-\d\d?-\d\d?([Tt ].*)?",
    re.IGNORECASE,
)


_SET = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*[=:]", re.ASCII | re.MULTILINE)


class ComposeError(LabError):
    """The Compose file cannot be used; the message names file, line and key."""


class _Loader(yaml.SafeLoader):
    """Builds nodes only; it knows no plain value but text and the key `<<`."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._open: list[str | None] = []  # the anchors of the parts that have begun

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(
                problem=f"the tag {event.tag} is not supported on every runtime",
                problem_mark=event.start_mark,
            )
        if self.check_event(yaml.AliasEvent):
            if event.anchor in self._open:
                raise yaml.MarkedYAMLError(
                    problem=f"the alias *{event.anchor} stands inside itself",
                    problem_mark=event.start_mark,
                )
            return super().compose_node(parent, index)
        if len(self._open) >= _DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"it is nested deeper than {_DEEPEST} levels", problem_mark=event.start_mark
            )
        self._open.append(event.anchor)
        try:
            return super().compose_node(parent, index)
        finally:
            self._open.pop()


_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile("^<<$"), ["<"])


class Source:
    """One file's content, the places in it, and what is wrong with it.

    `variables` stand for `${NAME}`; `named` are those of them that the file asks for. `content` is
    None where the file is empty or is no YAML.
    """

    def __init__(self, path: Path, variables: Mapping[str, str]) -> None:
        self.path = path
        self._variables = variables
        self.named: dict[str, str] = {}
        self._lines: dict[Place, int] = {}
        self._odd: set[Place] = set()
        self._merged: set[int] = set()
        self._parts = 0
        self._problems: list[ComposeError] = []
        self._unread: list[Place] = []
        self._reading = True
        self.content = self._read()
        self._reading = False

    def _read(self) -> Any:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ComposeError(f"There is no Compose file at {self.path}.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ComposeError(f"{self.path} cannot be read: {error}") from None
        try:
            self._loader = _Loader(text)
            node = self._loader.get_single_node()
            return None if node is None else self._value(node, ())
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            sign = error.character if isinstance(error.character, int) else ord(error.character)
            raise self._no_yaml(line, f"the control character {sign:#04x} stands in it") from None
        except (OverflowError, ValueError) as error:  # an escape of more than all of Unicode
            raise self._no_yaml(self._loader.line + 1, str(error)) from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = " ".join(filter(None, (error.context, error.problem)))
            raise self._no_yaml(mark.line + 1 if mark else 1, said) from None

    def _no_yaml(self, line: int, said: str) -> ComposeError:
        return ComposeError(
            f"{self.path}, line {line}, the file: this is not valid YAML for Compose: {said}"
        )

    # --- problems -------------------------------------------------------------------------------

    def error(self, where: Place, text: str, hint: str = "") -> ComposeError:
        """An error that names the file, the line and the key."""
        here = where
        while here and here not in self._lines:
            here = here[:-1]
        key = ".".join(where) or "the file"
        return ComposeError(f"{self.path}, line {self._lines.get(here, 1)}, {key}: {text}", hint)

    @contextmanager
    def noting(self, where: Place) -> Iterator[None]:
        """Note a ComposeError of this block, so that what comes after it is looked at as well."""
        try:
            yield
        except ComposeError as error:
            self.note(where, error)

    def note(self, where: Place, error: ComposeError) -> None:
        """Note an error, unless it is of a part that could not be read in the first place."""
        if not any(_within(where, unread) for unread in self._unread):
            self._problems.append(error)
            if self._reading:
                self._unread.append(where)

    @property
    def count(self) -> int:
        """How many problems have been noted."""
        return len(self._problems)

    def refuse(self) -> None:
        """Raise a ComposeError with everything that has been noted, in the order of the lines."""
        if not self._problems:
            return
        found = self._problems
        if len(found) == 1:
            raise found[0]
        start = f"{self.path}, line "
        told = [error.message.removeprefix(start) for error in found]
        told.sort(key=lambda text: int(text.partition(",")[0]))
        lines = [f"  line {text}" for text in told[:_SHOWN]]
        if len(told) > _SHOWN:
            lines.append(f"  and {len(told) - _SHOWN} more")
        hints = dict.fromkeys(error.hint for error in found if error.hint)
        head = f"{self.path} has {len(found)} problems:"
        raise ComposeError("\n".join([head, *lines]), "\n".join(hints))

    # --- values ---------------------------------------------------------------------------------

    def is_odd(self, where: Place) -> bool:
        """Whether a number or a time stands there that Compose would write otherwise: 1.0, 017."""
        return where in self._odd

    def text(self, value: Any, where: Place, wanted: str = "a text") -> str:
        """The value, where Compose takes it for a text. Raises ComposeError where it does not."""
        if not isinstance(value, str) or self.is_odd(where):
            raise self.error(where, f"it must be {wanted}: put it in quotes")
        return value

    # Merged keys (`<<: *service`) keep the lines of their anchor.
    def _value(self, node: Any, where: Place) -> Any:
        self._parts += 1
        if self._parts > _MOST:
            raise yaml.MarkedYAMLError(
                problem=f"its aliases make more than {_MOST:,} parts of it",
                problem_mark=node.start_mark,
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            found = []
            for number, item in enumerate(node.value):
                at = (*where, str(number))
                self._lines.setdefault(at, item.start_mark.line + 1)
                found.append(self._value(item, at))
            return found
        if node.style is not None:
            return self._filled(node.value, where)
        value = _plain(node.value)
        if _is_odd(node.value) and not _SIMPLE.fullmatch(node.value):
            self._odd.add(where)
        return self._filled(value, where) if isinstance(value, str) else value

    @cached_property
    def _dotenv(self) -> set[str]:
        """The variables that Compose takes from the file .env where the environment has none."""
        file = self.path.with_name(".env")
        try:
            return set(_SET.findall(file.read_text(errors="replace"))) if file.is_file() else set()
        except OSError as error:
            raise ComposeError(f"{file}, line 1, the file: it cannot be read: {error}") from None

    def _mapping(self, node: yaml.MappingNode, where: Place) -> dict[str, Any]:
        if id(node) not in self._merged:  # an anchor that is used twice is met twice
            self._refuse_duplicates(node, where)
            self._loader.flatten_mapping(node)
            self._merged.add(id(node))
        last: dict[str, yaml.Node] = {}  # what is merged comes first, and may be overridden
        for key_node, value_node in node.value:
            key = _key(key_node)
            at = (*where, "?" if key is None else key)
            self._lines[at] = key_node.start_mark.line + 1
            if key is None:
                self.note(at, self.error(at, "a key must be a text: put it in quotes"))
            else:
                last[key] = value_node
        found: dict[str, Any] = {}
        for key, value_node in last.items():
            with self.noting((*where, key)):
                found[key] = self._value(value_node, (*where, key))
        return found

    def _refuse_duplicates(self, node: yaml.MappingNode, where: Place) -> None:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = _key(key_node)
            if key in seen and key != "<<":
                at = (*where, key)
                self._lines[at] = key_node.start_mark.line + 1
                self.note(at, self.error(at, "the key stands here twice"))
            if key is not None:
                seen.add(key)

    def _filled(self, text: str, where: Place) -> str:
        """The text with its variables filled in."""

        def replace(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "$"
            name, rest = match["plain"] or match["name"], match["rest"] or ""
            if name is None:
                raise self.error(
                    where, f"{match[0]!r}: use ${{NAME}}, ${{NAME:-default}}, ${{NAME:?text}} or $$"
                )
            if name in self._variables:
                self.named[name] = self._variables[name]
            value = self._variables.get(name, "")
            if value:
                return value
            if name not in self._variables and name in self._dotenv:
                raise self.error(
                    where,
                    f"${{{name}}} stands in {self.path.with_name('.env')}, which Compose alone "
                    "reads: set it in the environment",
                )
            if match["operator"] == ":-":
                return rest
            if match["operator"] == ":?":
                raise self.error(where, f"${{{name}}} is not set: {rest}")
            if name in self._variables:
                return ""
            raise self.error(where, f"${{{name}}} is not set; give it a default: ${{{name}:-…}}")

        if where and where[0].startswith("x-"):
            return text  # an anchor: its variables count where it is used
        return re.sub(_VARIABLE, replace, text)


def _is_odd(text: str) -> bool:
    """Whether Compose takes an unquoted text for a number or a time that it writes otherwise."""
    return bool(_ODD.fullmatch(text.replace("_", "")))


def _plain(text: str) -> Any:
    """What an unquoted value is to Compose, as far as it and Python write it alike."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _SIMPLE.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


def _key(node: yaml.Node) -> str | None:
    """The key of a mapping; None where Compose refuses it, because it is no text."""
    if not isinstance(node, yaml.ScalarNode):
        return None
    text = str(node.value)
    unquoted = node.style is None
    if unquoted and (not isinstance(_plain(text), str) or _is_odd(text)):
        return None
    return text


def _within(where: Place, other: Place) -> bool:
    """Whether one of two places is the other, or a part of it."""
    shorter = min(len(where), len(other))
    return where[:shorter] == other[:shorter]
