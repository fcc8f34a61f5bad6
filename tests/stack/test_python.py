"""Programs of our own beside files that are called like libraries, and under a foreign path."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lab_services
from lab_services import paths, python
from lab_services.errors import LabError
from lab_services.models import subprocess_training
from lab_services.stack import Stack
from lab_services.stack.supervisor_client import SupervisorClient
from lab_services.stack.zygote_client import ZygoteClient
from lab_services.traffic.generators import Generator
from tests.stack.conftest import Write

NAMES = ("fastapi", "numpy", "queue", "json", "uvicorn")
CAUSE = "raise SystemExit('this is not the library that you look for')\n"


def fill(folder: Path) -> Path:
    """A folder of files that stand in for libraries."""
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(CAUSE)
    return folder


@pytest.fixture
def spoilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader's folder, and a PYTHONPATH of the reader's other work."""
    monkeypatch.chdir(fill(tmp_path / "notebooks"))
    monkeypatch.setenv("PYTHONPATH", str(fill(tmp_path / "other")))


@pytest.mark.usefixtures("spoilt")
def test_stacks_start(write: Write) -> None:
    """A lab that never starts because a notebook's neighbour is called queue.py."""
    path = write(
        "  one:\n    image: ${LAB_IMAGE:-lab-services}\n"
        "    command: [python, -m, lab_services.services.server, --help]\n"
        "    profiles: [job]\n"
        "  other:\n    image: ${LAB_IMAGE:-lab-services}\n    command: [sleep, '600']\n"
    )
    supervisor = SupervisorClient.begin(children=True)
    try:
        with Stack(path, "process", supervisor=supervisor) as stack:
            done = stack.run("one")
            assert "Traceback" not in done.output and "not the library" not in done.output
    finally:
        supervisor.close()


@pytest.mark.usefixtures("spoilt")
def test_traffic_and_training_start(tmp_path: Path) -> None:
    """The same for what sends requests, and for what trains in a process of its own."""
    generator = Generator()
    generator._process.stdin.close()
    assert generator._process.wait() == 0
    generator.end()
    subprocess_training.train("this")


@pytest.mark.usefixtures("spoilt")
def test_a_working_tree_stays_itself() -> None:
    """Helpers of another checkout than the one that is being worked on."""
    code = "import lab_services; print(lab_services.__file__)"
    command = [*python.command("timeit", "-n", "1", "-r", "1", code)]
    said = subprocess.run(command, env=python.environment(), capture_output=True, text=True)
    assert said.stdout.splitlines()[0] == lab_services.__file__


def test_an_installed_package_needs_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """All installed packages before the standard library."""
    monkeypatch.setattr(python.sysconfig, "get_path", lambda name: str(paths.repository()))
    assert python.environment({"PYTHONPATH": "/elsewhere"}, A="1") == {"PYTHONPATH": "", "A": "1"}


def test_why_no_service_can_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Start the lab anew`, again and again, with the cause hidden."""
    monkeypatch.setattr(python, "location", lambda: f"{fill(tmp_path / 'o')}:{paths.repository()}")
    children = ZygoteClient()
    try:
        with pytest.raises(LabError, match="not the library that you look for"):
            children.start([sys.executable, "-m", "this"], {}, tmp_path, tmp_path / "log")
    finally:
        children.close()


def starts_python(code: str) -> bool:
    """Whether a list in it begins with this Python and a module to run."""
    return "sys.executable" in code and any(
        isinstance(node, ast.List)
        and len(node.elts) > 1
        and ast.unparse(node.elts[0]) == "sys.executable"
        and isinstance(node.elts[1], ast.Constant)
        for node in ast.walk(ast.parse(code))
    )


def test_nothing_starts_python_in_another_way() -> None:
    """One more helper that imports whatever lies beside the notebook."""
    home = paths.repository() / "lab_services"
    found = {
        str(file.relative_to(home))
        for file in home.rglob("*.py")
        if starts_python(file.read_text())
    }
    # The second is the kernel itself, which imports from the notebook's folder as every one does.
    assert found == {"python.py", "runs/papermill_engine.py"}
