"""`lab run`: the exit code is the verdict. The notebooks are broken on purpose."""

import json
import signal
from pathlib import Path

import nbformat
import psutil
import pytest

from tests.command.terminal import Terminal, wait_until

CLAIM = "claims.computed('Two is more than one', {measured}, at_least=1, rival=('it is less', -1))"
HOLDS = CLAIM.format(measured=2)
FAILS = CLAIM.format(measured=0)
UNCLEAR = CLAIM.format(measured="Interval(1.5, 0.5, 2.5, 10)")


def notebook(folder: Path, *cells: str) -> str:
    """A notebook of these cells, after one that makes `claims`."""
    begin = (
        "from lab_services.report.claims import Claims\n"
        "from lab_services.report.stats import Interval\n"
        "claims = Claims()"
    )
    parameters = nbformat.v4.new_code_cell("seconds = 5", metadata={"tags": ["parameters"]})
    content = nbformat.v4.new_notebook(
        cells=[parameters, *map(nbformat.v4.new_code_cell, (begin, *cells))],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "lab_services": {"short": {"seconds": 2}, "shortest": {"seconds": 1}},
        },
    )
    file = folder / "lab.ipynb"
    nbformat.write(content, file)
    return str(file)


@pytest.mark.parametrize(
    ("cells", "code", "said"),
    [
        ((HOLDS, "claims.check()"), 0, ""),
        ((FAILS, "claims.check()"), 3, "Of 1 claims and 0 exercises, 1 fail"),
        (
            (FAILS, "claims"),
            3,
            "Two is more than one: found 0,",
        ),  # nobody called settle()
        ((UNCLEAR, "claims.check()"), 4, "Not enough evidence for 1 of 1"),
        ((HOLDS, "claims.check()", "1 / 0"), 5, "ZeroDivisionError"),
        ((FAILS, "claims", "1 / 0"), 5, "ZeroDivisionError"),
        (("import os; os._exit(1)",), 5, "DeadKernelError"),
        (("1 + 1",), 1, "makes no claim"),
    ],
)
def test_the_exit_code_is_the_verdict(
    lab: Terminal, tmp_path: Path, cells: tuple[str, ...], code: int, said: str
) -> None:
    """A lab whose claims fail, or that did not run to its end, and is called good."""
    file = notebook(tmp_path, *cells)
    ended = lab("run", file, "--runtime", "process", "--out", str(tmp_path / "runs"), fails=code)
    assert said in ended.stderr
    folder = tmp_path / "runs" / "process" / ("lab.broken-off" if code == 5 else "lab")
    assert str(folder / "run.html") in ended.stdout
    assert (str(folder / "run.ipynb") in ended.stderr) is (code == 5)
    assert (folder / "run.html").stat().st_size
    assert json.loads((folder / "measurements.json").read_text())["runtime"] == "process"


def test_a_kernel_that_stumbles_over_its_own_end_is_not_told(lab: Terminal, tmp_path: Path) -> None:
    """A traceback under a lab that has ended well; or silence about what went wrong before."""
    late = "import atexit, os; atexit.register(os.write, 2, b'Traceback: late')"
    file = notebook(tmp_path, late, "os.write(2, b'early')", HOLDS, "claims.check()")
    ended = lab("run", file, "--runtime", "process", "--out", str(tmp_path / "runs"))
    assert "early" in ended.stderr


def test_parameters_reach_the_notebook(lab: Terminal, tmp_path: Path) -> None:
    """A short mode, or a parameter, that is taken and not used."""
    file = notebook(tmp_path, CLAIM.format(measured="seconds"), "claims.check()")
    words = ("run", file, "--runtime", "process", "--out", str(tmp_path / "runs"))
    kept = tmp_path / "runs" / "process" / "lab" / "measurements.json"
    for given, seconds in (((), 5), (("--short", "-p", "seconds=3"), 3), (("--shortest",), 1)):
        lab(*words, *given)
        assert json.loads(kept.read_text())["claims"][0]["measured"]["value"] == seconds
    assert "no parameter minutes" in lab(*words, "-p", "minutes=1", fails=1).stderr
    assert "not NAME=VALUE" in lab(*words, "-p", "seconds", fails=2).stderr


def test_what_cannot_be_run(lab: Terminal, tmp_path: Path) -> None:
    """A file that is no notebook, or is not there, met with a traceback."""
    out = ("--runtime", "process", "--out", str(tmp_path / "runs"))
    assert "There is no notebook" in lab("run", str(tmp_path / "no.ipynb"), *out, fails=1).stderr
    (tmp_path / "text.ipynb").write_text("not JSON")
    assert "is no notebook" in lab("run", str(tmp_path / "text.ipynb"), *out, fails=1).stderr
    refused = lab("run", notebook(tmp_path), LAB_RUNTIME="podman", fails=1).stderr
    assert "There is no runtime 'podman'" in refused


def test_an_interrupt_ends_the_kernel(lab: Terminal, tmp_path: Path) -> None:
    """A kernel, and the stack of its notebook, that run on after Ctrl-C."""
    file = notebook(
        tmp_path, f"open({str(tmp_path / 'there')!r}, 'w').close()\nimport time", "time.sleep(99)"
    )
    process = lab.begin("run", file, "--runtime", "process", "--out", str(tmp_path / "runs"))
    wait_until((tmp_path / "there").exists)
    kernels = psutil.Process(process.pid).children(recursive=True)
    assert kernels
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    # The kernel, cut off, may complain on the same standard error; the command itself must not.
    assert (process.returncode, "lab_services/command" in err) == (130, False), out + err
    assert err.endswith("Interrupted.\n")
    wait_until(lambda: not any(kernel.is_running() for kernel in kernels))
