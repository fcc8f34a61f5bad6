"""The labs there are: every folder of `lab_services/patterns` that holds a Compose file."""

import difflib
from pathlib import Path

from lab_services.errors import LabError

_PATTERNS = Path(__file__).parents[1] / "patterns"


class UnknownLab(LabError):
    """There is no lab of that name; the hint names the nearest."""


def labs() -> list[str]:
    """Every lab as `group/slug`."""
    files = sorted(_PATTERNS.glob("*/*/compose.yaml"))
    return [f"{f.parent.parent.name}/{f.parent.name.replace('_', '-')}" for f in files]


def compose_path(lab: str) -> Path:
    """The Compose file of a lab, or of a path to one. Raises UnknownLab."""
    if lab.endswith((".yaml", ".yml")):
        return Path(lab).absolute()
    known = labs()
    if lab not in known:
        slugs = {name.split("/")[1]: name for name in known}
        near = difflib.get_close_matches(lab, [*known, *slugs], n=3, cutoff=0.5)
        names = list(dict.fromkeys(slugs.get(n, n) for n in near)) or known
        raise UnknownLab(f"There is no lab {lab!r}.", f"Did you mean: {', '.join(names)}?")
    return _PATTERNS / Path(lab.replace("-", "_")) / "compose.yaml"
