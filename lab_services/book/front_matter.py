"""What a chapter's page says of itself before its text begins.

    ---
    key_numbers:
      gain-2: What two replicas answered, against one
    ---

are the numbers of the chapter's run that the page of key numbers shows, in this order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from lab_services.errors import LabError

_BLOCK = re.compile(r"\A---\n(.*?)^---$", re.DOTALL | re.MULTILINE)
_KEY = "key_numbers"


@dataclass(frozen=True)
class KeyNumber:
    """A number of a run by its name, what it says, and the page's line that asks for it."""

    name: str
    says: str
    line: int


def title(page: str) -> str:
    """The page's first heading; empty where there is none."""
    found = re.search(r"^# (.+)$", page, re.MULTILINE)
    return found[1].strip() if found else ""


def key_numbers(page: str, name: str) -> Sequence[KeyNumber]:
    """The key numbers that the page `name` asks for. Raises LabError where it asks for none."""
    block = _BLOCK.match(page)
    try:
        data = yaml.compose(block[1]) if block else None
    except yaml.YAMLError as error:
        raise LabError(f"The front matter of {name} cannot be read: {error}.") from error
    named = _entry(data, _KEY)
    if not isinstance(named, yaml.MappingNode) or not named.value:
        raise LabError(
            f"{name} names no key numbers.",
            f"Begin the page with a front matter: {_KEY}, and below it NAME: what it says.",
        )
    # The block begins in the second line of the file, and YAML counts from 0.
    return [KeyNumber(k.value, str(v.value), k.start_mark.line + 2) for k, v in named.value]


def _entry(data: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = data.value if isinstance(data, yaml.MappingNode) else []
    return next((value for found, value in pairs if found.value == key), None)
