"""The runs of a lab that are repeated on other machines, made on this one as profiles.

Below one folder lie `kept/`, a file for each finished run, `last/<profile>/`, the last run on each
profile as any other kept run, and `records/`, a file for each lab: by runtime and length, what has
come of all runs that count together.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab_services import paths, writing
from lab_services.errors import LabError
from lab_services.runs import inputs, last_verdicts, profiles
from lab_services.runs.execution import execute
from lab_services.runs.notebook import Lab, Length
from lab_services.runs.others import watched
from lab_services.runs.profiles import Profile
from lab_services.runs.run import Run
from lab_services.runs.steadiness import claims, record_file


@dataclass(frozen=True)
class RepeatedRuns:
    """The runs of a lab that count together: on one runtime, in one length, of the same code.

    `lab` is a slug or a notebook's path, `out` the folder below which they are kept.
    """

    out: Path
    lab: str
    runtime: str
    length: Length
    key: str

    @classmethod
    def of(cls, out: Path, lab: str, runtime: str, length: Length) -> "RepeatedRuns":
        """Those that a run made now belongs to. Raises LabError, as `Lab.parameters` does."""
        Lab.find(lab).parameters(length)
        return cls(out, lab, runtime, length, key(lab))

    @property
    def slug(self) -> str:
        """The lab's name."""
        return Lab.find(self.lab).slug

    def runs(self, profile: Profile) -> list[dict[str, Any]]:
        """What is kept of the runs on a profile, in their order. Raises LabError if damaged."""
        return [_read(self._folder(profile) / f"{each}.json") for each in self._numbers(profile)]

    def measure(self, profile: Profile, run: Callable[..., Run] = execute) -> dict[str, Any]:
        """Run the lab once more on a profile and keep what it has found; gives that.

        Raises LabError for a lab that makes no claim, where the profile cannot be made, and where
        the lab was changed meanwhile: then the run does not count.
        """
        with profiles.made(profile) as how, watched() as others:
            made = run(self.lab, self.runtime, self.out / "last" / profile, length=self.length)
        if not made.failed and not made.claims:
            raise LabError(f"{made.lab} makes no claim.", "A lab ends with claims.check().")
        if key(self.lab) != self.key:
            raise LabError(
                f"{made.lab} was changed while it was measured.",
                "That run does not count. Type the same command again: it begins anew.",
            )
        found = {
            "profile": str(profile),
            "how": how,
            "others": others.share,
            "failed": made.failed,
            # Of a run that broke off nothing is judged, as `lab prove` does.
            "claims": [] if made.failed else made.claims,
            "faults": {} if made.failed else _faults(made),
            **{name: made.data[name] for name in ("when", "seconds", "machine")},
        }
        number = 1 + max(self._numbers(profile), default=0)
        _write(self._folder(profile) / f"{number}.json", found)
        self._forget_other_code()
        self._record()
        return found

    def _forget_other_code(self) -> None:
        """Remove the runs of the code before, which count no more and would gather for ever."""
        own = self._folder(Profile.QUIET).parent
        for folder in own.parent.iterdir():
            if folder != own:
                shutil.rmtree(folder)

    def _numbers(self, profile: Profile) -> list[int]:
        return sorted(int(file.stem) for file in self._folder(profile).glob("*.json"))

    def _folder(self, profile: Profile) -> Path:
        place = self.out / "kept" / self.runtime / self.length / self.slug
        return place / self.key[:16] / profile

    def _record(self) -> None:
        """Put the lab's file right: with these runs in the place of older ones of their kind."""
        every = [run for profile in Profile for run in self.runs(profile)]
        file = record_file(self.out, self.slug)
        record = _read(file) if file.exists() else {}
        record.setdefault(self.runtime, {})[str(self.length)] = {
            "key": self.key,
            "commit": last_verdicts.commit(),
            "when": max(run["when"] for run in every),
            "profiles": {
                name: {
                    "how": some[-1]["how"],
                    "machine": some[-1]["machine"],
                    "runs": len(some),
                    "broken": sum(bool(run["failed"]) for run in some),
                }
                for name, some in _by_profile(every).items()
            },
            "claims": {
                each.text: {
                    "bound": each.bound,
                    "worst": each.worst,
                    **asdict(each.all),
                    "profiles": {name: asdict(found) for name, found in each.on.items()},
                }
                for each in claims(every)
            },
        }
        _write(file, record)


def key(lab: str) -> str:
    """What changes when something does that a lab executes: `runs.inputs`.

    Of a notebook elsewhere its own text. Raises LabError for an unknown one.
    """
    found = Lab.find(lab)
    own = paths.repository() / "labs" / f"{found.slug}.ipynb"
    return inputs.inputs(found.slug).key if found.path == own else found.digest()


def _faults(run: Run) -> dict[str, str]:
    """What speaks against a run and is no claim: the checks of exercises that err."""
    claimed = {claim["text"] for claim in run.claims}
    return {text: why for text, why in run.failing.items() if text not in claimed}


def _by_profile(runs: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        found.setdefault(run["profile"], []).append(run)
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except ValueError as error:
        raise LabError(f"{file} is damaged: {error}.", "Remove it: it is made again.") from None


def _write(file: Path, content: Mapping[str, Any]) -> None:
    writing.ready(file.parent, paths.MOVE_RUNS)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    writing.whole(file, f"{text}\n")
