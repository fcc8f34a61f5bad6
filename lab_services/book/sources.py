"""What the book is built from: pages and labs that mirror each other, and a kept run for each."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import yaml

from lab_services.errors import LabError
from lab_services.report import claims, drawing, measurements
from lab_services.report.notebook import Lab
from lab_services.report.run import Run, RunMissing

# Containers first: that is what a reader would deploy.
_RUNTIMES = ("docker", "process")
# A link to a service of the run, in HTML or Markdown: it ended with the run.
_GONE = re.compile(
    r"<a\b[^>]*href=\"http://127\.0\.0\.1\b[^>]*>(.*?)</a>"
    r"|\[([^\]]*)\]\(http://127\.0\.0\.1\b[^)]*\)"
)
_COPIED = ("_config.yml", "_toc.yml", "book", "labs", "lab_services/patterns")


class BookIncomplete(LabError):
    """A page without its lab, a lab without its page, or either not in the table of contents."""


def slugs(root: Path) -> list[str]:
    """Every lab of the book. Raises BookIncomplete, naming every file that is missing."""
    groups = sorted(folder.name for folder in (root / "labs").glob("*") if folder.is_dir())
    labs = {f"{g}/{f.stem}" for g in groups for f in (root / "labs" / g).glob("*.ipynb")}
    pages = {f"{g}/{f.stem}" for g in groups for f in (root / "book" / g).glob("*.md")}
    pages = {page for page in pages if not page.endswith("/index")}
    listed = set(_files(yaml.safe_load((root / "_toc.yml").read_text())))
    problems = [f"labs/{slug}.ipynb has no page book/{slug}.md." for slug in sorted(labs - pages)]
    problems += [f"book/{slug}.md has no lab labs/{slug}.ipynb." for slug in sorted(pages - labs)]
    problems += [
        f"{name} is not in _toc.yml."
        for slug in sorted(labs & pages)
        for name in (f"book/{slug}", f"labs/{slug}")
        if name not in listed
    ]
    problems += [
        f"lab_services/patterns/{slug.replace('-', '_')}/compose.yaml is missing: a chapter's "
        "page, lab and stack have one slug."
        for slug in sorted(labs)
        if not (root / "lab_services/patterns" / slug.replace("-", "_") / "compose.yaml").is_file()
    ]
    if problems:
        raise BookIncomplete("\n".join(problems))
    return sorted(labs)


def kept_run(root: Path, runs: Path, slug: str) -> Run | None:
    """The run to show: made from the lab as it is now, on containers rather than processes."""
    lab = Lab(slug, root / "labs" / f"{slug}.ipynb")
    for runtime in _RUNTIMES:
        try:
            run = Run.load(runs / runtime / slug)
        except RunMissing:
            continue
        if run.made_from(lab):
            return run
    return None


def stage(root: Path, runs: list[Run], target: Path, runs_folder: str) -> None:
    """Lay out the sources in `target`: the repository's, and over its labs the executed ones.

    A file that has not changed is not touched, so that Sphinx reads only what has.
    """
    wanted: dict[Path, bytes] = {}
    for name in _COPIED:
        source = root / name
        files = source.rglob("*") if source.is_dir() else [source]
        for file in files:
            hidden = any(part.startswith((".", "__")) for part in file.relative_to(root).parts[:-1])
            if file.is_file() and not hidden:
                wanted[file.relative_to(root)] = file.read_bytes()
    for run in runs:
        wanted[Path("labs") / f"{run.lab}.ipynb"] = _shown(run)
        for file in run.folder.rglob("*"):
            if file.suffix in (".json", ".svg"):
                wanted[Path(runs_folder) / run.lab / file.relative_to(run.folder)] = (
                    file.read_bytes()
                )
    for file in [f for f in target.rglob("*") if f.is_file()]:
        if file.relative_to(target) not in wanted:
            file.unlink()
    for place, content in wanted.items():
        to = target / place
        if not to.is_file() or to.read_bytes() != content:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(content)


def _shown(run: Run) -> bytes:
    """The executed notebook without what is only for the run's file, which MyST-NB warns of, and
    without links to services that no longer run."""
    notebook = nbformat.read(run.notebook, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for mime in (measurements.MIME, drawing.MIME, claims.MIME):
                output.get("data", {}).pop(mime, None)
            for mime in output.get("data", {}).keys() & {"text/html", "text/markdown"}:
                output["data"][mime] = _GONE.sub(r"\1\2", output["data"][mime])
    return str(nbformat.writes(notebook)).encode()  # type: ignore[no-untyped-call]


def _files(entry: Any) -> Iterator[str]:
    """Every `file` and `root` of a table of contents."""
    if isinstance(entry, dict):
        for key, value in entry.items():
            if key in ("file", "root"):
                yield str(value)
            else:
                yield from _files(value)
    elif isinstance(entry, list):
        for one in entry:
            yield from _files(one)
