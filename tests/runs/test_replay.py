"""Replays: what live cells have measured is put back, and everything else is worked out anew."""

import shutil
from pathlib import Path

import nbformat
import pytest

from lab_services.runs import replay
from lab_services.runs.notebook_file import LIVE
from lab_services.runs.run import NothingToReplay, Run, execute, execute_again

# A class, a function and a list that a later live cell adds to; the last line counts executions.
FIRST = """
import threading
from pathlib import Path

class Answer:
    def __init__(self, seconds): self.seconds = seconds

factor = 2
def twice(answer, by=factor): return by * answer.seconds

def slow(answer): return answer.seconds > 1

answers, tasks = [Answer(0.1)], []
checks = {"slow": slow}
lock = threading.Lock()
with Path(counted).open("a") as file: file.write("1")
"""
SECOND = """
tasks.append(threading.Lock())
def more(): answers.append(Answer(extra))
%precision 3
more()
"""
WORKED_OUT = """
from lab_services import Claims, keep
from lab_services.report import Interval
assert not any(checks["slow"](answer) for answer in answers)
worst = max(twice(answer) for answer in answers)
keep("worst", worst, "s")
claims = Claims()
quick = Interval(worst, worst - 0.01, worst + 0.01, 3, "s")
claims.replayed("it is quick", quick, at_most=0.5, rival=("it stands still", 5))
claims.check()
"""


EXTRA = "extra = 0.2"


def write(folder: Path, *cells: tuple[str, bool]) -> Path:
    """A lab `gates/small` of these cells, live or not."""
    file = folder / "labs/gates/small.ipynb"
    file.parent.mkdir(parents=True, exist_ok=True)
    made = [nbformat.v4.new_code_cell("counted = ''", metadata={"tags": ["parameters"]})]
    for name in ("uv.lock", ".dockerignore"):  # a checkout, whose labs have keys
        (folder / name).touch()
    for source, live in cells:
        tags = [LIVE] if live else []
        made.append(nbformat.v4.new_code_cell(source.strip(), metadata={"tags": tags}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})
    nbformat.write(notebook, file)
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of both live cells."""
    folder = tmp_path_factory.mktemp("first")
    file = write(folder, (FIRST, True), (EXTRA, False), (SECOND, True), (WORKED_OUT, False))
    counted = {"counted": str(folder / "counted")}
    return execute(file, runtime="process", out=folder / "runs", parameters=counted)


def test_nothing_is_measured_and_the_numbers_are_the_same(run: Run, tmp_path: Path) -> None:
    """A replay that measures anew, or that loses what a later live cell has changed."""
    counted = Path(run.data["parameters"]["counted"])
    file = write(tmp_path, (FIRST, True), (EXTRA, False), (SECOND, True), (WORKED_OUT, False))
    again = execute_again(run, file, tmp_path / "runs")
    assert again.ok and run.ok, again.failed
    assert counted.read_text() == "1"
    assert again.data["replayed"] and not run.data["replayed"]
    for same in ("measurements", "claims", "machine", "when", "length", "parameters", "versions"):
        assert again.data[same] == run.data[same], same
    # What is kept reads like a run, and can be replayed in its turn.
    sources = [c.source for c in replay.live(nbformat.read(again.notebook, as_version=4))]
    assert sources == [FIRST.strip(), SECOND.strip()]
    third = execute_again(Run.load(again.folder), file, tmp_path / "third")
    assert third.data["measurements"] == run.data["measurements"]


def test_another_claim_is_judged_on_the_same_data(run: Run, tmp_path: Path) -> None:
    """A change of the analysis that needs a new measurement, or that is not seen."""
    changed = WORKED_OUT.replace("0.5", "0.3").replace("max", "min")
    file = write(
        tmp_path, (FIRST, True), (EXTRA, False), (SECOND, True), ("1 + 1", False), (changed, False)
    )
    again = execute_again(run, file, tmp_path / "runs")
    assert again.ok, again.failed
    assert again.measurement("worst").value == pytest.approx(0.2)
    file = write(
        tmp_path,
        (FIRST, True),
        (EXTRA, False),
        (SECOND, True),
        (WORKED_OUT.replace("0.5", "0.3"), False),
    )
    assert execute_again(run, file, tmp_path / "runs").failing
    assert run.measurement("worst").value == pytest.approx(0.4)


def test_what_cannot_be_stored_is_missed_by_name(run: Run, tmp_path: Path) -> None:
    """A cell that needs the living thing and is not live, called sound."""
    for cell, name in (("lock.locked()", "lock"), ("len(tasks)", "tasks")):
        cells = ((FIRST, True), (EXTRA, False), (SECOND, True), (cell, False))
        again = execute_again(run, write(tmp_path, *cells), tmp_path / "runs")
        assert f"NameError: name '{name}' is not defined" in again.failed


def test_a_live_cell_that_has_changed_is_measured(run: Run, tmp_path: Path) -> None:
    """Yesterday's measurement under today's question."""
    for cells in (
        (
            (FIRST, True),
            (EXTRA, False),
            (SECOND.replace("more", "less"), True),
            (WORKED_OUT, False),
        ),
        ((FIRST, True), (EXTRA.replace("2", "3"), False), (SECOND, True), (WORKED_OUT, False)),
        ((FIRST, True), (EXTRA, False), ("extra *= 2", False), (SECOND, True), (WORKED_OUT, False)),
        ((FIRST, True), (WORKED_OUT, False)),
        ((FIRST, True), (EXTRA, False), (SECOND, True), (WORKED_OUT, True)),
    ):
        with pytest.raises(NothingToReplay, match="is not what it was"):
            execute_again(run, write(tmp_path, *cells), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_that_broke_off_is_not_replayed(tmp_path: Path) -> None:
    """Half a measurement taken for one."""
    file = write(tmp_path, ("1 / 0", True))
    broken = execute(file, runtime="process", out=tmp_path / "runs")
    with pytest.raises(NothingToReplay, match="holds nothing to replay"):
        execute_again(broken, file, tmp_path / "again")


def test_a_recording_that_is_gone_is_told(run: Run, tmp_path: Path) -> None:
    """A traceback for a file of which nobody has heard."""
    folder = tmp_path / "kept"
    shutil.copytree(run.folder, folder)
    (folder / replay.FOLDER / "1.pickle.gz").unlink()
    file = write(tmp_path, (FIRST, True), (EXTRA, False), (SECOND, True), (WORKED_OUT, False))
    with pytest.raises(NothingToReplay, match="holds nothing to replay"):
        execute_again(Run.load(folder), file, tmp_path / "again")
