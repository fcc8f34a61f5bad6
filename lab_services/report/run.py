"""Execute a lab and keep the run: `runs/<runtime>/<group>/<slug>/`.

It holds run.ipynb (the executed notebook), run.html (the same to be read), figures/<name>.svg and
measurements.json (numbers with unit and interval, claims with verdicts, exercises with what is
wrong with their checks, figures with their words, machine, versions, seconds, memory).
A run is written in a folder beside and takes its place, and that of an older one, when it is whole.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from lab_services.errors import LabError
from lab_services.report import engine, machine, page
from lab_services.report.beside import beside
from lab_services.report.claims import Verdict
from lab_services.report.engine import Progress
from lab_services.report.measurements import from_json
from lab_services.report.notebook import Found, Lab, Length, collect, numbered, read
from lab_services.report.stats import Interval

FILE = "measurements.json"
# The folder of what a lab hands on.
FILES = "files"
_LAST_LINES = 20


class RunMissing(LabError):
    """There is no kept run where one is asked for."""


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
        return self.folder / "run.ipynb"

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
        """The claims of which this run says too little, and why."""
        return self._reasons(Verdict.NOT_ENOUGH)

    def _reasons(self, verdict: Verdict) -> dict[str, str]:
        return {
            claim["text"]: f"measured {claim['measured']['text']}, claimed {claim['bound']}; "
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
    progress: Callable[[Progress], None] = lambda _: None,
    stack_memory: Callable[[], int] | None = None,
    cell_timeout: int = 1800,
) -> Run:
    """Execute a lab by papermill and keep the run.

    `lab` is a slug or a notebook's path, `runtime` docker or process (the notebook's stacks take
    it from LAB_RUNTIME). `length` sets the parameters that the notebook's metadata names for it,
    `parameters` any of them. `progress` is called as each code cell begins.
    `stack_memory` tells the bytes that stacks outside this process' children use. `cell_timeout`
    is in seconds.

    A failing cell gives a run that is not `ok`, with the notebook as far as it came. Raises
    LabError for an unknown lab or parameter, and where nothing can be written.
    """
    found = Lab.find(lab)
    if not found.read().cells:
        raise LabError(f"{found.path} has no cells.", "There is nothing to run.")
    values = {**found.parameters(length), **(parameters or {})}
    _check_parameters(found, values)
    folder = Path(out) / runtime / found.slug
    with beside(folder) as part:
        data = _execute(found, runtime, part, values, length, progress, stack_memory, cell_timeout)
    return Run(folder, data)


def _execute(
    lab: Lab,
    runtime: str,
    folder: Path,
    values: Mapping[str, Any],
    length: Length,
    progress: Callable[[Progress], None],
    stack_memory: Callable[[], int] | None,
    cell_timeout: int,
) -> dict[str, Any]:
    """Execute into an empty folder; gives what measurements.json holds."""
    begun, source = datetime.now(UTC), lab.digest()
    with (
        _environment(
            LAB_RUNTIME=runtime,
            LAB_HEADLESS="1",
            LAB_JUDGED="0" if length is Length.SHORTEST else "1",
        ),
        engine.peak_memory(stack_memory) as peak,
    ):
        error = _papermill(lab, folder / "run.ipynb", values, progress, cell_timeout)
    notebook = read(folder / "run.ipynb")
    # The folder in which it is written is not where it is kept.
    del notebook.metadata.papermill["output_path"]
    nbformat.write(notebook, folder / "run.ipynb")  # type: ignore[no-untyped-call]
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
    (folder / "run.html").write_text(page.render(notebook, lab.slug))
    data = {
        "lab": lab.slug,
        "runtime": runtime,
        "when": begun.isoformat(timespec="seconds"),
        "length": str(length),
        "parameters": values,
        "error": error,
        **_times(notebook),
        "memory": peak.bytes,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "source": source,
        "measurements": outputs.measurements,
        "figures": outputs.figures,
        "claims": outputs.claims,
        "exercises": outputs.exercises,
    }
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n")
    return data


def _papermill(
    lab: Lab,
    output: Path,
    parameters: Mapping[str, Any],
    progress: Callable[[Progress], None],
    cell_timeout: int,
) -> dict[str, Any] | None:
    """Execute; gives the error, or None."""
    try:
        papermill.execute_notebook(
            lab.path,
            output.absolute(),
            parameters=dict(parameters),
            engine_name=engine.NAME,
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


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set for what is started meanwhile: papermill hands no environment to its kernel."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
