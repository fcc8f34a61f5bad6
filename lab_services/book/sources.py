"""What the book is built from: the kept runs, and the sources with the executed labs over them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from lab_services.report import claims, exercise, guess, measurements
from lab_services.runs.notebook import Lab, numbered, read
from lab_services.runs.run import FILE, Run, RunMissing
from lab_services.runs.steadiness import record_file

# Where the sources that are built hold the runs, by the slug of their lab.
RUNS = "_runs"
# Beside a run: what a published book says of the lab's claims, or null.
PUBLISHED = "published.json"
# Beside a run: how often the lab's claims have held on other machines.
STEADY = "steady.json"
# Containers first: that is what a reader would deploy.
RUNTIMES = ("docker", "process")
# A link to a service of the run, in HTML or Markdown: it ended with the run.
_GONE = re.compile(
    r"<a\b[^>]*href=\"http://127\.0\.0\.1\b[^>]*>(.*?)</a>"
    r"|\[([^\]]*)\]\(http://127\.0\.0\.1\b[^)]*\)"
)
_FOR_THE_FILE = (
    measurements.MIME,
    measurements.FILE_MIME,
    measurements.CHART_MIME,
    claims.MIME,
    exercise.MIME,
    guess.MIME,
)
_COPIED = (
    *("_config.yml", "_toc.yml", "CONTRIBUTING.md", "LICENSE"),
    *("book", "labs", "lab_services/patterns", "lab_services/labs", "lab_services/services"),
)


def kept_runs(root: Path, runs: Path, slug: str) -> list[Run]:
    """The runs made from the lab as it is now, at most one of each runtime, containers first.

    A run in which a cell failed is none: it holds half of what pages ask for.
    """
    lab = Lab(slug, root / "labs" / f"{slug}.ipynb")
    found = []
    for runtime in RUNTIMES:
        try:
            run = Run.load(runs / runtime / slug)
        except RunMissing:
            continue
        if run.made_from(lab) and not run.failed:
            found.append(run)
    return found


def stage(
    root: Path,
    runs: list[list[Run]],
    target: Path,
    published: Mapping[str, Any],
    steady: Path,
) -> None:
    """Lay out the sources in `target`: the repository's, and over its labs the executed ones.

    Of each chapter's `runs` the first is shown; of another only the measurements are laid beside
    it, under the name of its runtime, and so are the lab's claims in a `published` book and its
    record in the folder `steady`. A file that has not changed is not touched, so that Sphinx reads
    only what has.
    """
    wanted: dict[Path, bytes] = {}
    for name in _COPIED:
        source = root / name
        files = source.rglob("*") if source.is_dir() else [source]
        for file in files:
            hidden = any(part.startswith((".", "__")) for part in file.relative_to(root).parts[:-1])
            if file.is_file() and not hidden:
                wanted[file.relative_to(root)] = file.read_bytes()
    for shown, *others in runs:
        wanted[Path("labs") / f"{shown.lab}.ipynb"] = _shown(shown)
        place = Path(RUNS) / shown.lab
        for file in shown.folder.rglob("*"):
            if file.suffix in (".json", ".svg"):
                wanted[place / file.relative_to(shown.folder)] = file.read_bytes()
        for run in others:
            wanted[place / run.runtime / FILE] = (run.folder / FILE).read_bytes()
        record = record_file(steady, shown.lab)
        wanted[place / STEADY] = record.read_bytes() if record.is_file() else b"{}"
        wanted[place / PUBLISHED] = json.dumps(published.get(shown.lab)).encode()
    for file in [f for f in target.rglob("*") if f.is_file()]:
        if file.relative_to(target) not in wanted:
            file.unlink()
    for place, content in wanted.items():
        to = target / place
        if not to.is_file() or to.read_bytes() != content:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(content)


def own_cell(notebook: Path, place: int) -> int:
    """The number that the `place`-th cell of an executed notebook has in the committed lab.

    Papermill puts a cell with the parameters of the run among them.
    """
    executed = read(notebook)
    return next(n for n, cell in numbered(executed) if cell is executed.cells[place - 1])


def _shown(run: Run) -> bytes:
    """The executed notebook without what is only for the run's file, which MyST-NB warns of, and
    without links to services that no longer run."""
    notebook = read(run.notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for mime in _FOR_THE_FILE:
                output.get("data", {}).pop(mime, None)
            for mime in output.get("data", {}).keys() & {"text/html", "text/markdown"}:
                output["data"][mime] = _GONE.sub(r"\1\2", output["data"][mime])
    return str(nbformat.writes(notebook)).encode()  # type: ignore[no-untyped-call]
