"""Execute a lab and keep the run: `runs/<runtime>/<group>/<slug>/`.

It holds run.ipynb (the executed notebook), run.html (the same to be read, but not of the shortest
run), figures/<name>.svg and measurements.json (numbers with unit and interval, claims with
verdicts, exercises with what is wrong with their checks, guesses with their outcomes, figures with
their words, machine, versions, seconds, memory), and in recorded/ what its live cells have
measured, over which it can be replayed.
A run is written in a folder beside, and takes its place and that of an older one when it has come
to its end: claims that fail are an end, a cell that fails is none. What a run that broke off has is
kept as `<slug>.broken-off`, until the next one is whole or breaks off too.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from lab_services.errors import LabError
from lab_services.report.claim import Verdict
from lab_services.report.measurements import from_json
from lab_services.report.stats import Interval
from lab_services.runs import machine, page, papermill_engine, replay
from lab_services.runs.beside import beside, take_the_place
from lab_services.runs.environment import environment
from lab_services.runs.inputs import LOCK, inputs
from lab_services.runs.notebook import Found, Lab, Length, collect, numbered, read
from lab_services.runs.papermill_engine import CellProgress, peak_memory
from lab_services.traffic.disturbance import DISTURBED

FILE = "measurements.json"
NOTEBOOK = "run.ipynb"
PAGE = "run.html"
# The folder of what a lab hands on.
FILES = "files"
_LAST_LINES = 20
_REPLAY_TIMEOUT = 300  # seconds a cell


def broken_off(folder: Path) -> Path:
    """Where a run is kept that broke off; `folder` is where it would be, had it come to its end."""
    return folder.with_name(f"{folder.name}.broken-off")


class RunMissing(LabError):
    """There is no kept run where one is asked for."""


class NothingToReplay(LabError):
    """The lab must be run: there are no measurements of it as it is now."""


@dataclass(frozen=True)
class Run:
    """A kept run; `data` is what measurements.json holds."""

    folder: Path
    data: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> "Run":
        """Read a kept run. Raises RunMissing, and LabError for a damaged file."""
        file = Path(folder) / FILE
        try:
            return cls(Path(folder), json.loads(file.read_text()))
        except FileNotFoundError as error:
            raise RunMissing(
                f"There is no kept run in {folder}.", "Make one: lab run <group>/<slug>."
            ) from error
        except ValueError as error:
            raise LabError(f"{file} is damaged: {error}.", "Run the lab again.") from error

    @property
    def lab(self) -> str:
        """The lab's slug."""
        return str(self.data["lab"])

    @property
    def runtime(self) -> str:
        """The runtime it was made on: docker or process."""
        return str(self.data["runtime"])

    @property
    def length(self) -> Length:
        """How much was measured."""
        return Length(self.data["length"])

    @property
    def notebook(self) -> Path:
        """The executed notebook."""
        return self.folder / NOTEBOOK

    @property
    def to_read(self) -> Path:
        """What a person opens: the page, of the shortest run the notebook."""
        return self.notebook if self.length is Length.SHORTEST else self.folder / PAGE

    @property
    def failed(self) -> str:
        """What went wrong: the cell, the error and the last lines; nothing where all cells ran."""
        error = self.data["error"]
        if error is None:
            return ""
        return f"{self.lab}, cell {error['cell']}: {error['type']}: {error['message']}" + "".join(
            f"\n  {line}" for line in error["last"]
        )

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Each claim with text, verdict, measured, bound, reason and cell."""
        return list(self.data["claims"])

    @property
    def failing(self) -> dict[str, str]:
        """What this run speaks against, and why: claims, and checks of exercises that err."""
        exercises = {
            f"the check of exercise {found['name']}": found["fault"]
            for found in self.data["exercises"]
            if found["fault"]
        }
        return self._reasons(Verdict.FAILS) | exercises

    @property
    def lacking(self) -> dict[str, str]:
        """Of which claims, and of which repairs, this run says too little, and why."""
        repairs = {
            f"the check of exercise {found['name']}": found["lacks"]
            for found in self.data["exercises"]
            if found.get("lacks") and not found["fault"]
        }
        return self._reasons(Verdict.NOT_ENOUGH) | repairs

    @property
    def disturbed(self) -> str:
        """What kept a claim from being judged that is none of the lab's doing, or nothing."""
        return next((c["reason"] for c in self.claims if DISTURBED in c["reason"]), "")

    def _reasons(self, verdict: Verdict) -> dict[str, str]:
        return {
            claim["text"]: f"found {claim['measured']['text']}, claimed {claim['bound']}; "
            f"{claim['reason']}"
            for claim in self.claims
            if claim["verdict"] == verdict
        }

    @property
    def ok(self) -> bool:
        """Every cell ran, every claim, of which there is at least one, holds, no exercise errs."""
        return not self.failed and bool(self.claims) and not self.failing and not self.lacking

    def measurement(self, name: str) -> Interval:
        """A kept number. Raises LabError naming those there are."""
        return from_json(self._entry("measurements", "number", name))

    def figure(self, name: str) -> tuple[dict[str, Any], str]:
        """A figure's title and words, and its SVG. Raises LabError naming those there are."""
        entry = self._entry("figures", "figure", name)
        return entry, (self.folder / "figures" / f"{name}.svg").read_text()

    def file(self, name: str) -> Path:
        """A file that the lab has handed on. Raises LabError naming those there are."""
        path = self.folder / FILES / f"{name}.json"
        if not path.is_file():
            known = ", ".join(sorted(each.stem for each in path.parent.glob("*.json"))) or "none"
            raise LabError(f"The run of {self.lab} holds no file {name!r}.", f"It holds: {known}.")
        return path

    def made_from(self, lab: Lab) -> bool:
        """Whether the lab is still as it was when this run was made."""
        return bool(self.data["source"] == lab.digest())

    def _entry(self, kind: str, word: str, name: str) -> dict[str, Any]:
        if name not in self.data[kind]:
            known = ", ".join(self.data[kind]) or "none"
            raise LabError(
                f"The run of {self.lab} holds no {word} {name!r}.", f"It holds: {known}."
            )
        return dict(self.data[kind][name])


def execute(
    lab: str | Path,
    *,
    runtime: str,
    out: str | Path = "runs",
    parameters: Mapping[str, Any] | None = None,
    length: Length = Length.FULL,
    progress: Callable[[CellProgress], None] = lambda _: None,
    stack_memory: Callable[[], int] | None = None,
    cell_timeout: int = 1800,
) -> Run:
    """Execute a lab by papermill and keep the run.

    `lab` is a slug or a notebook's path, `runtime` docker or process (the notebook's stacks take
    it from LAB_RUNTIME). `length` sets the parameters that the notebook's metadata names for it,
    `parameters` any of them. `progress` is called as each code cell begins.
    `stack_memory` tells the bytes that stacks outside this process' children use. `cell_timeout`
    is in seconds.

    A failing cell gives a run that is not `ok`, with the notebook as far as it came, in a folder of
    its own: an older run that is whole stays. Raises LabError for an unknown lab or parameter, and
    where nothing can be written.
    """
    found = Lab.find(lab)
    if not found.read().cells:
        raise LabError(f"{found.path} has no cells.", "There is nothing to run.")
    values = {**found.parameters(length), **(parameters or {})}
    _check_parameters(found, values)
    folder = Path(out) / runtime / found.slug
    begun, source, measuring = datetime.now(UTC), found.digest(), _measuring(found)
    with beside(folder) as part:
        places = (str(found.path), str(part.absolute() / replay.FOLDER))
        record = {replay.VARIABLE: json.dumps(places)}
        with environment(**record, **_environ(runtime, length)), peak_memory(stack_memory) as peak:
            error = _papermill(found.path, found, part, values, progress, cell_timeout)
        told = {
            "lab": found.slug,
            "runtime": runtime,
            "when": begun.isoformat(timespec="seconds"),
            "length": str(length),
            "parameters": values,
            "memory": peak.bytes,
            "machine": machine.describe(),
            "versions": machine.versions(),
            "source": source,
            "measuring": measuring,
            "replayed": None,
        }
        return _settled(part, folder, _keep(found, part, error, told))


def execute_again(run: Run, lab: str | Path, out: str | Path) -> Run:
    """Replay a kept run over what its live cells have measured, and keep that as a run of its own.

    All other cells are executed as they are now. `lab` is as in `execute`. Raises NothingToReplay
    when the run broke off or has not stored all, and when something that measures is not what it
    was: a live cell, a cell that gives it a value, a service, this package as far as it is used.
    """
    found = Lab.find(lab)
    notebook, executed = found.read(), read(run.notebook)
    cells, before = replay.live(notebook), replay.live(executed)
    measure = f"Run it: lab run {run.lab}."
    stored = [replay.file_of(run.folder / replay.FOLDER, place) for place in range(len(before))]
    if run.failed or not stored or not all(file.is_file() for file in stored):
        raise NothingToReplay(f"{run.folder} holds nothing to replay.", measure)
    same = [cell.source for cell in cells] == [cell.source for cell in before]
    if not same or run.data.get("measuring") != _measuring(found):
        raise NothingToReplay(f"What {run.lab} measures is not what it was in this run.", measure)
    folder = Path(out) / run.runtime / found.slug
    with beside(folder) as part, TemporaryDirectory() as place:
        # Its recordings go along: what is kept can be replayed in its turn.
        shutil.copytree(run.folder / replay.FOLDER, part / replay.FOLDER)
        file = Path(place, found.path.name)
        made = replay.prepared(notebook, (part / replay.FOLDER).absolute())
        nbformat.write(made, file)  # type: ignore[no-untyped-call]
        with environment(**_environ(run.runtime, run.length)):
            error = _papermill(
                file, found, part, run.data["parameters"], lambda _: None, _REPLAY_TIMEOUT
            )
        _put_back(part / NOTEBOOK, cells, before)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        told = {**run.data, "source": found.digest(), "replayed": now}
        return _settled(part, folder, _keep(found, part, error, told))


def _settled(part: Path, folder: Path, data: Mapping[str, Any]) -> Run:
    """The run at its place, in one step: a whole one is never to be found as one that broke off."""
    broke = broken_off(folder)
    place = folder if data["error"] is None else broke
    take_the_place(part, place)
    if place != broke:
        shutil.rmtree(broke, ignore_errors=True)  # the newer run says more
    return Run(place, data)


def _put_back(file: Path, cells: list[NotebookNode], before: list[NotebookNode]) -> None:
    """In a replayed notebook the code of live cells, and what they showed when they measured."""
    notebook = read(file)
    for cell, own, was in zip(replay.live(notebook), cells, before, strict=True):
        if any(output.output_type == "error" for output in cell.outputs):
            continue  # its values could not be put back: that is to be seen
        cell.source, cell.outputs = own.source, was.outputs
        cell.metadata["papermill"] = was.metadata["papermill"]
    nbformat.write(notebook, file)  # type: ignore[no-untyped-call]


def _measuring(lab: Lab) -> str:
    """The key of all that measures in a lab of a checkout; empty for any other notebook."""
    root = lab.path.parents[2]
    if lab.path == root / "labs" / f"{lab.slug}.ipynb" and (root / LOCK).is_file():
        return inputs(lab.slug, root, measuring=True).key
    return ""


def _environ(runtime: str, length: Length) -> dict[str, str]:
    judged = "0" if length is Length.SHORTEST else "1"
    return {"LAB_RUNTIME": runtime, "LAB_HEADLESS": "1", "LAB_JUDGED": judged}


def _keep(
    lab: Lab, folder: Path, error: dict[str, Any] | None, told: Mapping[str, Any]
) -> dict[str, Any]:
    """Write what is read besides the executed notebook; gives what measurements.json holds."""
    notebook = read(folder / NOTEBOOK)
    # The folder in which it is written is not where it is kept.
    del notebook.metadata.papermill["output_path"]
    nbformat.write(notebook, folder / NOTEBOOK)  # type: ignore[no-untyped-call]
    outputs = Found()
    try:
        outputs = collect(notebook)
    except LabError as problem:
        error = error or _error(type(problem).__name__, str(problem))
    (folder / "figures").mkdir()
    for name, drawn in outputs.svgs.items():
        (folder / "figures" / f"{name}.svg").write_text(drawn)
    (folder / FILES).mkdir()
    for name, handed in outputs.files.items():
        content = json.dumps(handed["content"], ensure_ascii=False, allow_nan=False)
        (folder / FILES / f"{name}.json").write_text(content)
    if told["length"] != Length.SHORTEST:  # that is read by nobody, and would take 3 s longer
        (folder / PAGE).write_text(page.render(notebook, lab.slug))
    data = {
        **told,
        "error": error,
        **_times(notebook),
        "measurements": outputs.measurements,
        "figures": outputs.figures,
        "claims": outputs.claims,
        "exercises": outputs.exercises,
        "guesses": outputs.guesses,
    }
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n")
    return data


def _papermill(
    notebook: Path,
    lab: Lab,
    folder: Path,
    parameters: Mapping[str, Any],
    progress: Callable[[CellProgress], None],
    cell_timeout: int,
) -> dict[str, Any] | None:
    """Execute; gives the error, or None."""
    output = folder / NOTEBOOK
    try:
        papermill.execute_notebook(
            notebook,
            output.absolute(),
            parameters=dict(parameters),
            engine_name=papermill_engine.NAME,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            progress=progress,
            execution_timeout=cell_timeout,
            cwd=lab.path.parent,
        )
    except PapermillExecutionError as error:
        return _error(error.ename, error.evalue, *_last_begun(output))
    except (CellTimeoutError, DeadKernelError) as error:
        return _error(type(error).__name__, str(error), *_last_begun(output))
    return None


def _last_begun(output: Path) -> tuple[int, list[str]]:
    """The number of the cell that was running, and the last lines it printed."""
    notebook = read(output)
    begun = [
        (number, cell)
        for number, cell in numbered(notebook)
        if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("start_time")
    ]
    if not begun:
        return 0, []
    number, cell = begun[-1]
    printed = "".join(o["text"] for o in cell.outputs if o["output_type"] == "stream")
    return number, printed.splitlines()[-_LAST_LINES:]


def _error(kind: str, message: str, cell: int = 0, last: Sequence[str] = ()) -> dict[str, Any]:
    return {"cell": cell, "type": kind, "message": message, "last": list(last)}


def _times(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Seconds the whole run took, and the slowest cell with its number."""
    durations = {
        number: cell.metadata.get("papermill", {}).get("duration") or 0.0
        for number, cell in numbered(notebook)
    }
    slowest = max(durations, key=lambda number: durations[number])
    return {
        "seconds": sum(durations.values()),
        "slowest": {"cell": slowest, "seconds": durations[slowest]},
    }


def _check_parameters(lab: Lab, values: Mapping[str, Any]) -> None:
    known = papermill.inspect_notebook(lab.path) if values else {}
    if unknown := sorted(set(values) - set(known)):
        raise LabError(
            f"The lab {lab.slug} has no parameter {', '.join(unknown)}.",
            f"It has: {', '.join(known) or 'none'}.",
        )
