"""What was last found of a lab's claims on this machine, and whether that still stands."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lab_services import git, paths, writing
from lab_services.errors import LabError

# A verdict is a sample of code, machine and day: after a week it is drawn anew.
_STANDS = timedelta(days=7)


@dataclass(frozen=True)
class Answer:
    """What judging a lab on a runtime has come to.

    `key` is that of the lab's inputs, `length` that of the first measurement, `commit` the
    checkout's, `when` an ISO time in UTC of that measurement; `holds` says whether every claim
    held. `seconds` is what it took, None where that was not kept, and `measuring` the key of what
    its live cells execute.
    """

    lab: str
    runtime: str
    length: str
    outcome: str
    holds: bool
    key: str
    commit: str
    when: str
    seconds: float | None = None
    measuring: str = ""

    def stands(self, key: str, length: str, now: datetime) -> bool:
        """Whether it need not be asked again: all held, of these inputs, within a week."""
        return self.key == key and self._holds(length, now)

    def measured_for(self, measuring: str, length: str, now: datetime) -> bool:
        """Whether its run can be replayed: what it has measured is what is asked for."""
        return self.measuring == measuring and self._holds(length, now)

    def _holds(self, length: str, now: datetime) -> bool:
        young = now - datetime.fromisoformat(self.when) < _STANDS
        return self.holds and self.length == length and young

    def __str__(self) -> str:
        return f"{self.outcome}, commit {self.commit}, {self.when[:10]}"

    def keep(self, folder: Path) -> None:
        """Write it below `folder`, in place of an older one."""
        file = _file(folder, self.lab, self.runtime)
        file.parent.mkdir(parents=True, exist_ok=True)
        writing.whole(file, json.dumps(asdict(self), indent=1) + "\n")


def last(folder: Path, lab: str, runtime: str) -> Answer | None:
    """The newest answer below `folder`; None without one. Raises LabError for a damaged file."""
    file = _file(folder, lab, runtime)
    try:
        return Answer(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise LabError(f"{file} is damaged: {error}.", "Remove it: the lab is measured.") from None


def now() -> datetime:
    """The time, as answers have it."""
    return datetime.now(UTC)


def commit(root: Path | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """The checkout's commit, short, and whether files have changed since; `none` without Git."""
    root = root or paths.repository()
    env = git.environment(environment)
    try:
        found = git.git(root, "rev-parse", "--short", "HEAD", env=env).strip()
        changed = git.git(root, "status", "--porcelain", "--untracked-files=no", env=env).strip()
    except LabError:
        return "none"
    return f"{found} with changes" if changed else found


def _file(folder: Path, lab: str, runtime: str) -> Path:
    return folder / "answers" / runtime / f"{lab}.json"
