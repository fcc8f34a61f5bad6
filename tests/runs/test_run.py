"""Runs: a notebook executed and kept."""

import json
import math
import os
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from lab_services.errors import LabError
from lab_services.report import measurements
from lab_services.report.measurements import as_json, from_json, keep, keep_file
from lab_services.report.stats import Interval
from lab_services.runs.notebook import Lab, Length
from lab_services.runs.run import Run, RunMissing, execute


def write(
    folder: Path, *sources: str, short: dict | None = None, shortest: dict | None = None
) -> Path:
    """A lab `gates/small` of these code cells after its parameters."""
    file = folder / "labs" / "gates" / "small.ipynb"
    file.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        nbformat.v4.new_markdown_cell("# Small\n\nWith $x^2$."),
        nbformat.v4.new_code_cell("seconds = 5", metadata={"tags": ["parameters"]}),
        *map(nbformat.v4.new_code_cell, sources),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    if short is not None:
        metadata["lab_services"] = {"short": short, "shortest": shortest or {}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), file)
    return file


GOOD = (
    """
import os
from lab_services import Claims, charts, keep, report
values = {"a": report.Interval(1.4, 1.3, 1.5, 100, "ratio")}
keep("gain", values["a"])
keep("seconds", seconds, "s")
print(os.environ["LAB_RUNTIME"])
report.keep_file("whole", {"text": "an é", "rows": [1, 2]})
""",
    "charts.bars(values, name='gain', title='Gain')",
    "claims = Claims()\n"
    "claims.measured('it gains', values['a'], at_least=1.2, rival=('it does not', 1.0))\n"
    "claims.check()",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A good run in short mode."""
    folder = tmp_path_factory.mktemp("good")
    file = write(folder, *GOOD, short={"seconds": 2})
    steps = []
    run = execute(
        file, runtime="process", out=folder / "runs", length=Length.SHORT, progress=steps.append
    )
    assert [step.cell for step in steps] == [1, 2, 3, 4, 5]  # with the parameters set from outside
    assert {step.heading for step in steps} == {"Small"}
    return run


def test_run_is_kept_as_a_whole(good):
    """A run of which a part is missing, or that lies where nobody looks for it."""
    assert good.folder.parts[-3:] == ("process", "gates", "small")
    assert {file.name for file in good.folder.rglob("*") if file.is_file()} == {
        *("run.ipynb", "run.html", "measurements.json", "gain.svg", "whole.json")
    }
    loaded = Run.load(good.folder)
    assert loaded == good
    assert loaded.ok
    assert loaded.failed == ""
    assert loaded.measurement("gain") == Interval(1.4, 1.3, 1.5, 100, "ratio")
    entry, drawn = loaded.figure("gain")
    assert entry["title"] == "Gain"
    assert drawn.startswith("<svg") and drawn.endswith("</svg>\n")


def test_short_mode_and_runtime_reach_the_notebook(good):
    """CI that runs the long form, or a stack on another runtime than the run says."""
    assert good.measurement("seconds").value == 2
    assert good.length is Length.SHORT
    told = [c.outputs for c in nbformat.read(good.notebook, 4).cells if c.cell_type == "code"]
    assert any(o.get("text") == "process\n" for outputs in told for o in outputs)
    assert "LAB_RUNTIME" not in os.environ


def test_run_says_where_it_was_made(good):
    """Numbers without the machine they come from."""
    data = good.data
    assert data["machine"]["cores"] >= 1
    assert data["machine"]["memory"] > 2**28
    assert data["versions"]["onnxruntime"]
    assert 0 < data["slowest"]["seconds"] <= data["seconds"]
    assert data["slowest"]["cell"] == 3
    assert 20e6 < data["memory"] < 4e9
    assert data["when"].endswith("+00:00")


def test_page_of_the_run_loads_nothing(good):
    """MathJax, require.js or mermaid from another host in a page that is kept for years."""
    page = (good.folder / "run.html").read_text()
    assert "it gains" in page and "<svg" in page
    assert set(re.findall(r"https?://[^\"'\s<>)]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/1998/Math/MathML",
    }
    assert "<script" not in page


def test_asking_for_what_is_not_there_names_what_is(good):
    """An error that leaves a writer guessing at names."""
    with pytest.raises(LabError, match=r"no number 'gian'\.\nIt holds: gain, seconds"):
        good.measurement("gian")
    with pytest.raises(LabError, match="no figure 'x'"):
        good.figure("x")


def test_failing_cell_is_named_and_what_ran_is_kept(tmp_path):
    """A failure that costs the outputs before it, or that is called a success."""
    file = write(tmp_path, *GOOD, "print('so far')\n1 / 0", "print('never')")
    run = execute(file, runtime="process", out=tmp_path / "runs")
    assert not run.ok
    assert "gates/small, cell 6: ZeroDivisionError: division by zero" in run.failed
    assert "so far" in run.failed
    assert run.measurement("gain").value == 1.4
    kept = nbformat.read(run.notebook, 4)
    assert not any("never" in str(cell.get("outputs")) for cell in kept.cells)
    assert "ZeroDivisionError" in (run.folder / "run.html").read_text()


def test_a_run_that_breaks_off_replaces_no_whole_one(tmp_path):
    """Minutes of measuring, gone for a run whose first cell failed; which of two is the newer."""
    runs = tmp_path / "runs"
    whole = execute(write(tmp_path, "1 + 1"), runtime="process", out=runs)
    broken = execute(write(tmp_path, "1 / 0"), runtime="process", out=runs)
    assert (whole.folder, broken.folder) == (
        runs / "process/gates/small",
        runs / "process/gates/small.broken-off",
    )
    assert Run.load(whole.folder) == whole and not whole.failed
    assert Run.load(broken.folder) == broken and broken.failed
    again = execute(write(tmp_path, "2 + 2"), runtime="process", out=runs)
    assert list(whole.folder.parent.iterdir()) == [again.folder] == [whole.folder]
    assert Run.load(whole.folder) == again


def test_a_whole_run_is_never_kept_as_one_that_broke_off(tmp_path, monkeypatch):
    """Ctrl-C between two renames, after which a whole run is called broken; two runs of one lab
    that end together and take one another's place."""
    places, rename = [], Path.rename

    def recorded(self: Path, target: Path) -> Path:
        places.append(str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", recorded)
    run = execute(write(tmp_path, "1 + 1"), runtime="process", out=tmp_path / "runs")
    assert not run.failed and str(run.folder) in places
    assert not [place for place in places if "broken-off" in place]


def test_an_interrupt_leaves_the_kept_run_and_nothing_else(tmp_path, capfd, monkeypatch):
    """A good run that is gone after Ctrl-C, a stack that runs on, a traceback of the kernel's."""
    state = Path(tempfile.mkdtemp(prefix="lab-", dir="/tmp"))  # the path of a socket is short
    monkeypatch.setenv("LAB_STATE", str(state))
    runs = tmp_path / "runs"
    # Like a reader who types Ctrl-C once more where nothing happens.
    interrupt = "while True:\n    os.kill(os.getppid(), signal.SIGINT)\n    time.sleep(15)"
    kept = runs / "process/gates/small"
    kept.mkdir(parents=True)
    (kept / "measurements.json").write_text("{}")
    own_supervisor = (
        "from lab_services.stack.supervisor_client import own_supervisor\nown_supervisor()"
    )
    with pytest.raises(KeyboardInterrupt):
        execute(
            write(tmp_path, "import os, signal, time", own_supervisor, interrupt),
            runtime="process",
            out=runs,
        )
    assert [file for file in runs.rglob("*") if file.is_file()] == [kept / "measurements.json"]
    assert "Traceback" not in capfd.readouterr().err
    deadline = time.monotonic() + 10
    while list(state.iterdir()):
        assert time.monotonic() < deadline, "the supervisor of the notebook lives on"
        time.sleep(0.05)
    state.rmdir()


@pytest.mark.parametrize(
    ("cell", "kind"),
    [("import os; os._exit(3)", "DeadKernelError"), ("import time; time.sleep(60)", "CellTimeout")],
)
def test_dead_kernel_and_endless_cell_are_failures(tmp_path, cell, kind):
    """A run that hangs, or that ends with a traceback of papermill's."""
    run = execute(write(tmp_path, cell), runtime="process", out=tmp_path / "runs", cell_timeout=2)
    assert not run.ok
    assert run.failed.startswith("gates/small, cell 3: " + kind)


BOUNDS = {"fails": 2, "not enough evidence": 1.35, "holds": 1.1}
EXERCISE = """
from lab_services import Exercise
for name, (measured, wrong) in {proofs}.items():
    twice = Exercise(
        name, level="apply", minutes=1, hint="Double it.",
        right=lambda answer: answer == 2 * measured, wrong=[(wrong, "That is not twice as much.")],
    )
    twice.prove(4)
print("and on")
"""
# What each exercise measures, which answer it calls wrong, and what is wrong with its check.
PROOFS = {
    "sound": (2, 3, ""),
    "refused": (1, 3, "its own solution 4 is refused (the check says no)"),
    "raising": (
        None,
        3,
        "its own solution 4 is refused (the check raises TypeError: "
        "unsupported operand type(s) for *: 'int' and 'NoneType')",
    ),
    "accepted": (2, 4, "the wrong answer 4 is accepted"),
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a claim of each verdict, and exercises with and without a fault."""
    claims = "claims = Claims()\n" + "\n".join(
        f"claims.measured('it gains, {verdict}', values['a'], at_least={bound}, "
        "rival=('it costs', 0.8))"
        for verdict, bound in BOUNDS.items()
    )
    proofs = {name: (measured, wrong) for name, (measured, wrong, _) in PROOFS.items()}
    folder = tmp_path_factory.mktemp("mixed")
    file = write(folder, GOOD[0], f"{claims}\nclaims", EXERCISE.format(proofs=proofs))
    return execute(file, runtime="process", out=folder / "runs")


@pytest.mark.parametrize("verdict", BOUNDS)
def test_only_holding_claims_make_a_run_good(mixed, verdict):
    """A run that is good although a claim in it is not."""
    text = f"it gains, {verdict}"
    assert mixed.failed == ""
    assert {claim["text"]: claim["verdict"] for claim in mixed.claims}[text] == verdict
    # As if it were the only one.
    claims = [claim for claim in mixed.claims if claim["text"] == text]
    alone = replace(mixed, data={**mixed.data, "claims": claims, "exercises": []})
    assert alone.ok == (verdict == "holds")
    assert [*alone.failing, *alone.lacking, *([text] if alone.ok else [])] == [text]


@pytest.mark.parametrize("name", PROOFS)
def test_an_exercise_that_cannot_tell_is_kept_with_the_run(mixed, name):
    """A check that refuses its own solution, and nobody learns of it; a notebook stopped by it."""
    fault = PROOFS[name][-1]
    assert mixed.failed == ""
    (kept,) = [each for each in mixed.data["exercises"] if each["name"] == name]
    assert kept == {"name": name, "fault": fault, "cell": 5}
    holding = [claim for claim in mixed.claims if claim["verdict"] == "holds"]
    alone = replace(mixed, data={**mixed.data, "claims": holding, "exercises": [kept]})
    assert alone.failing == ({f"the check of exercise {name}": fault} if fault else {})
    assert alone.ok == (not fault)


GUESS = """
from lab_services import Guess
from lab_services.report import Interval
gain = Guess("How much?", unit="ratio", reasons={"cores": "it has two", "shared": "both share one"})
gain.outcome(Interval(1.5, 1.4, 1.6, 90, "ratio"), {"cores": "It has.", "shared": "They do not."})
"""


def test_a_guess_is_kept_with_the_run_beside_its_outcome(tmp_path):
    """A guess that nobody is answered; two answers to one guess."""
    file = write(tmp_path, GOOD[0], GUESS)
    (kept,) = execute(file, runtime="process", out=tmp_path / "runs").data["guesses"]
    assert (kept["question"], kept["mine"], kept["cell"]) == ("How much?", None, 4)
    assert (kept["measured"]["value"], kept["because"]["shared"]) == (1.5, "They do not.")
    twice = write(tmp_path, GOOD[0], GUESS, GUESS.splitlines()[-1])
    failed = execute(twice, runtime="process", out=tmp_path / "runs").failed
    assert "'How much?' has two outcomes, in cells 4 and 5" in failed


def test_the_shortest_run_is_not_judged(tmp_path):
    """A gate that is red by chance, since seconds were too few; parameters that are not taken."""
    file = write(
        tmp_path, *GOOD, "claims.verdicts()", short={"seconds": 2}, shortest={"seconds": 1}
    )
    run = execute(file, runtime="process", out=tmp_path / "runs", length=Length.SHORTEST)
    assert run.to_read.is_file() and not (run.folder / "run.html").exists()
    assert run.measurement("seconds").value == 1
    assert run.claims[0]["verdict"] == "holds"
    printed = nbformat.read(run.notebook, 4).cells[-1].outputs
    assert [output["text"] for output in printed] == ["it gains\n"]
    assert "LAB_JUDGED" not in os.environ


def test_run_without_claims_is_not_good(tmp_path):
    """A lab that lost its claims, and passes."""
    run = execute(write(tmp_path, "1 + 1"), runtime="process", out=tmp_path / "runs")
    assert not run.failed
    assert not run.ok


def test_name_used_twice_fails_the_run(tmp_path):
    """A page that shows whichever of two numbers came last."""
    cell = "from lab_services import keep\nkeep('a', 1)"
    run = execute(write(tmp_path, cell, cell), runtime="process", out=tmp_path / "runs")
    assert "'a' is used twice, in cells 3 and 4" in run.failed


def test_unknown_lab_parameter_and_short_mode_are_refused(tmp_path):
    """A misspelt parameter that is silently not set."""
    file = write(tmp_path, "1")
    with pytest.raises(LabError, match=r"no parameter second\.\nIt has: seconds"):
        execute(file, runtime="process", out=tmp_path, parameters={"second": 1})
    with pytest.raises(LabError, match="no short mode"):
        execute(file, runtime="process", out=tmp_path, length=Length.SHORT)
    with pytest.raises(LabError, match="no notebook"):
        execute("serving/no-such-lab", runtime="process", out=tmp_path)
    nameless = nbformat.read(file, 4)
    del nameless.metadata["kernelspec"]
    nbformat.write(nameless, file)
    with pytest.raises(LabError, match="names no Python kernel"):
        execute(file, runtime="process", out=tmp_path)
    file.write_text("not json")
    with pytest.raises(LabError, match="is no notebook"):
        Lab.find(file).read()


def test_missing_and_damaged_runs(tmp_path):
    """A half-written run that is taken for one."""
    with pytest.raises(RunMissing):
        Run.load(tmp_path)
    (tmp_path / "measurements.json").write_text('{"lab": ')
    with pytest.raises(LabError, match="damaged"):
        Run.load(tmp_path)


def test_run_knows_the_lab_it_was_made_from(good):
    """Numbers of an older lab under the text of a newer one."""
    lab = Lab.find(good.folder.parents[3] / "labs" / "gates" / "small.ipynb")
    assert good.made_from(lab)
    notebook = lab.read()
    notebook.cells[2].source += "\n# another"
    nbformat.write(notebook, lab.path)
    assert not good.made_from(lab)


@pytest.mark.parametrize(
    "interval",
    [
        Interval(1.5, 1.0, 2.0, 9, "s", "late"),
        Interval(1.5, 1.0, math.inf, 9, "s"),
        Interval(1.5, -math.inf, 2.0, 9, "ratio"),
        Interval.unknown("5 requests are too few", "s", 5),
    ],
)
def test_interval_survives_the_file(interval):
    """An open end that becomes nan, or no JSON at all."""
    again = from_json(json.loads(json.dumps(as_json(interval), allow_nan=False)))
    assert repr(again) == repr(interval)  # what is unknown equals nothing, not even itself


def test_what_is_not_known_is_kept_with_its_reason(capsys):
    """A lab that ends for want of evidence; a gap in the book that nobody can explain."""
    keep("cores", 2, "cores")
    keep("p99", Interval.unknown("5 requests are too few", "s", 5))
    keep("took", math.nan, "s")
    keep("gain", math.inf, "ratio")
    keep("none", None)
    assert capsys.readouterr().out.splitlines() == [
        "kept cores: 2 cores",
        "kept p99: not known (5 requests are too few)",
        "kept took: not known",
        "kept gain: not known (infinite)",
        "kept none: not known",
    ]
    assert measurements.MIME.endswith("+json")  # else notebooks keep it as a text


def test_what_is_handed_on_is_a_file_of_the_run(good):
    """A page of the book that finds half of a package, or another run's."""
    assert json.loads(good.file("whole").read_text()) == {"text": "an é", "rows": [1, 2]}
    with pytest.raises(LabError, match="no file 'gone'") as refused:
        good.file("gone")
    assert "whole" in refused.value.hint


@pytest.mark.parametrize("content", [{"a": object()}, {"a": float("nan")}])
def test_what_json_cannot_hold_is_not_handed_on(content):
    with pytest.raises(ValueError):
        keep_file("whole", content)


def test_what_is_handed_on_has_a_name_that_pages_can_ask_for():
    with pytest.raises(ValueError, match="is no name"):
        keep_file("A name", {})
