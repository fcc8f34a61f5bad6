"""Which runs the book is built from, which are made first, and what is said of them."""

import json
from pathlib import Path

import nbformat
import pytest

from lab_services.book import __main__ as book
from lab_services.book import sources
from lab_services.errors import LabError
from lab_services.runs.notebook import Lab, Length
from lab_services.runs.run import Run, broken_off
from lab_services.runs.steadiness import record_file

SLUG = "serving/small"


class Project:
    """A book of one chapter; its lab's runs are written by hand, and no site is built."""

    def __init__(self, root: Path) -> None:
        self.root, self.runs = root, root / "runs"
        self.made: list[str] = []
        self.error: dict | None = None
        self.length = "full"
        self.shown: list[list[str]] = []
        for name in (f"book/{SLUG}.md", f"lab_services/patterns/{SLUG}/compose.yaml"):
            (root / name).parent.mkdir(parents=True)
            (root / name).touch()
        toc = {"chapters": [{"file": f"book/{SLUG}"}, {"file": f"labs/{SLUG}"}]}
        (root / "_toc.yml").write_text(json.dumps(toc))
        kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
        (root / f"labs/{SLUG}.ipynb").parent.mkdir(parents=True)
        nbformat.write(nbformat.v4.new_notebook(metadata=kernel), root / f"labs/{SLUG}.ipynb")

    def run(
        self,
        runtime: str,
        verdict: str = "holds",
        error: dict | None = None,
        folder: Path | None = None,
    ) -> Run:
        folder = folder or self.runs / runtime / SLUG
        claim = {"text": "it gains", "verdict": verdict, "reason": "by 2", "bound": "at least 3"}
        data = {
            "lab": SLUG,
            "runtime": runtime,
            "source": Lab(SLUG, self.root / f"labs/{SLUG}.ipynb").digest(),
            "length": self.length,
            "seconds": 61.0,
            "error": error,
            "claims": [claim | {"measured": {"text": "1"}}],
            "exercises": [],
            "guesses": [],
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "measurements.json").write_text(json.dumps(data))
        return Run.load(folder)

    def execute(self, lab: str, runtime: str, out: Path, *, length: Length) -> Run:
        assert (lab, out, length) == (str(self.root / f"labs/{SLUG}.ipynb"), self.runs, Length.FULL)
        self.made.append(runtime)
        folder = self.runs / runtime / SLUG
        return self.run(
            runtime, error=self.error, folder=broken_off(folder) if self.error else folder
        )

    def sphinx(self, root: Path, chosen: list, compared: dict, steady: Path) -> int:
        assert steady == self.runs / "steady"  # where `lab steady` leaves its records
        self.shown = [[run.runtime for run in runs] for runs in chosen]
        return 0

    def build(self, *words: str) -> int:
        return book.main(["--root", str(self.root), *words])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    monkeypatch.setattr(book, "execute", made.execute)
    monkeypatch.setattr(book, "_sphinx", made.sphinx)
    return made


@pytest.mark.parametrize(
    ("kept", "asked", "made", "shown"),
    [
        ([], [], ["process"], ["process"]),
        (["docker"], [], [], ["docker"]),
        (["process"], [], [], ["process"]),
        (["process"], ["docker"], ["docker"], ["docker", "process"]),
        ([], ["process", "docker"], ["process", "docker"], ["docker", "process"]),
    ],
)
def test_what_is_missing_is_made(project, kept, asked, made, shown):
    """Minutes spent on a run that is there; a published book without the runtime asked for."""
    for runtime in kept:
        project.run(runtime)
    assert project.build(*(word for runtime in asked for word in ("--runtime", runtime))) == 0
    assert project.made == made
    assert project.shown == [shown]


def test_a_changed_lab_is_run_again(project):
    """Numbers of yesterday's lab under today's text."""
    project.run("docker")
    notebook = nbformat.read(project.root / f"labs/{SLUG}.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("1"))
    nbformat.write(notebook, project.root / f"labs/{SLUG}.ipynb")
    assert project.build() == 0
    assert project.shown == [["process"]]


def test_it_sums_up_which_runs_it_took(project, capsys):
    """A book of which nobody can tell whether it shows a run of today."""
    project.run("process")
    assert project.build("--runtime", "docker") == 0
    said = capsys.readouterr().err
    assert "serving/small  docker   made now  61.0 s  1 holds" in said
    assert "serving/small  process  kept      61.0 s  1 holds" in said
    assert "site" in said.splitlines()[-1]


@pytest.mark.parametrize("verdict", ["fails", "not enough evidence"])
@pytest.mark.parametrize("runtime", ["docker", "process"])
def test_what_does_not_hold_is_listed_and_not_published(project, runtime, verdict, capsys):
    """A reader without a book, or a published one with a claim that fails on either runtime."""
    project.run("docker")
    project.run("process")
    project.run(runtime, verdict=verdict)
    assert project.build() == 0
    said = capsys.readouterr().err
    assert f"  {SLUG} on {runtime}: it gains: found 1, claimed at least 3; by 2" in said
    assert f"\n  lab run {SLUG} --runtime {runtime} --out {project.runs}\n" in said
    assert said.splitlines()[-1] == "  make book BOOK=--again"
    assert project.shown == [["docker", "process"]]
    assert project.build("--publish") == 1
    assert "not to be published" in capsys.readouterr().err
    project.run(runtime)
    assert project.build("--publish") == 0
    project.length = "short"
    project.run(runtime)
    assert project.build("--publish") == 1
    assert "it was a short run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", [None, "", "[]", '{"serving/small": {}}', '{"serving/small": {"claims": [{}]}}']
)
def test_a_file_that_is_no_published_book_s(project, tmp_path, text, capsys):
    """A traceback, or an hour of labs before it."""
    file = tmp_path / "claims.json"
    if text is not None:
        file.write_text(text)
    assert project.build("--published", str(file)) == 1
    assert f"{file} does not hold the claims of a book" in capsys.readouterr().err
    assert project.made == []


BROKEN = {"cell": 5, "type": "KeyError", "message": "'a'", "last": ["so"]}


def test_a_run_that_broke_off_is_made_again(project):
    """Half a run's numbers in a whole page."""
    project.run("docker", error=BROKEN)
    assert project.build("--runtime", "docker") == 0
    assert project.made == ["docker"]


def test_a_run_that_breaks_off_again_is_a_gap(project, capsys):
    """No book at all for want of a server; a book with holes, and no word of where they come from;
    such a book on the way to its readers."""
    project.error = BROKEN
    assert project.build() == 0
    said = capsys.readouterr().err
    assert "serving/small  process  made now  61.0 s  a cell fails" in said
    assert f"did not come to its end: {SLUG}, cell 5: KeyError: 'a'\n  so" in said
    assert project.shown == [["process"]]
    assert project.build("--publish") == 1
    assert project.made == ["process", "process"]


def test_a_gap_does_not_hide_another_runtime_s_run(project, capsys):
    """A page without numbers where there are some."""
    project.run("process")
    project.error = BROKEN
    assert project.build("--runtime", "docker") == 0
    assert project.shown == [["process"]]
    assert f"  {SLUG} on docker: it did not come to its end" in capsys.readouterr().err


def test_what_does_not_hold_is_measured_again_where_it_is_asked_for(project):
    """A reader who copies a command for each of ten labs, or whose good runs are made anew."""
    project.run("docker")
    project.run("process", verdict="fails")
    assert project.build("--again") == 0
    assert project.made == ["process"]
    assert project.build("--again") == 0
    assert project.made == ["process"]


def test_a_kept_run_in_place_of_one_that_broke_off_is_called_kept(project, capsys):
    """Yesterday's numbers, said to be measured just now."""
    project.run("process", verdict="fails")
    project.error = BROKEN
    assert project.build("--again") == 0
    assert project.made == ["process"]
    assert "serving/small  process  kept" in capsys.readouterr().err


def test_a_damaged_run_is_named(project):
    """A traceback of a parser in place of the file to remove."""
    project.run("docker")
    file = project.runs / "docker" / SLUG / "measurements.json"
    file.write_text("{")
    with pytest.raises(LabError, match=r"measurements\.json is damaged"):
        book.build(project.root, project.runs)


def test_the_record_of_a_lab_is_laid_beside_its_run(project):
    """A claims page that never shows on how many machines a claim has held; a build without any."""
    project.run("docker")
    run = Run.load(project.runs / "docker" / SLUG)
    nbformat.write(nbformat.v4.new_notebook(), run.notebook)
    staged, steady = project.root / "staged", project.runs / "steady"
    laid = staged / sources.RUNS / SLUG / sources.STEADY
    sources.stage(project.root, [[run]], staged, {}, steady)
    assert laid.read_text() == "{}"
    record_file(steady, SLUG).parent.mkdir(parents=True)
    record_file(steady, SLUG).write_text('{"docker": {}}')
    sources.stage(project.root, [[run]], staged, {}, steady)
    assert laid.read_text() == '{"docker": {}}'
