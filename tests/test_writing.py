"""Homes that cannot be written: an error that names the variable or the option that helps."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab_services import paths, writing
from lab_services.book.__main__ import build as build_book
from lab_services.command import checks, new
from lab_services.command.checks import State
from lab_services.errors import LabError
from lab_services.models import build
from lab_services.runs.beside import beside
from lab_services.stack import state
from lab_services.stack.image import build as image
from lab_services.stack.supervisor_client import SupervisorClient


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Short, for sockets; that of a test which runs beside others is not."""
    with TemporaryDirectory(prefix="lab-", dir="/tmp") as place:
        yield Path(place)


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    """A folder that nobody can make, root neither: it would lie below a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file/folder"


@pytest.fixture(params=["LAB_CACHE", "LAB_MODELS"])
def moved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the user has set, or not."""
    for name in ("LAB_CACHE", "LAB_MODELS"):
        monkeypatch.delenv(name, raising=False)
    return str(request.param)


def test_models_that_cannot_be_written(
    wall: Path, moved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback in the first command of a newcomer whose home is full, shared or read-only."""
    monkeypatch.setenv(moved, str(wall))
    with pytest.raises(LabError, match=rf"cannot be written: Not a directory.\nSet {moved} to"):
        build.ensure("rough")


def no_locks(number: int) -> Callable[..., None]:
    def refuse(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A traceback on a home that comes over a network."""
    monkeypatch.setattr(writing, "flock", no_locks(number))
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    monkeypatch.delenv("LAB_MODELS", raising=False)
    told = r"has no locks: .*\nSet LAB_CACHE to"
    with pytest.raises(LabError, match=told):
        build.ensure("rough")
    with pytest.raises(LabError, match=told), image._one_at_a_time(print):
        pass
    found = {each.what: each for each in checks.written()}
    assert "has no locks" in found["place of models"].text


def test_a_lock_keeps_the_second_out(tmp_path: Path) -> None:
    """Two builders at once, or a wait without a word."""
    told = []
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def waiting() -> None:
            told.append("waits")
            fcntl.flock(other, fcntl.LOCK_UN)

        with writing.locked(tmp_path, "lock", "", waiting), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert told == ["waits"]


def test_models_that_are_there_need_no_right_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of models that a class shares, of no use to those who only read."""
    monkeypatch.setattr(build.store, "is_current", lambda path, recipe: True)
    monkeypatch.setattr(
        writing, "ready", lambda folder, remedy: pytest.fail("something is written")
    )
    assert build.ensure("rough") == {"rough": build.store.model_path("rough")}


def test_a_card_below_a_file_or_unreadable(wall: Path, tmp_path: Path) -> None:
    """A traceback of `lab models --check` and of the doctor."""
    with pytest.raises(build.store.ModelMissing):
        build.store.verify(wall / "rough.onnx")
    (tmp_path / "rough.json").mkdir()
    with pytest.raises(build.store.ModelDamaged, match="cannot be read"):
        build.store.verify(tmp_path / "rough.onnx")


def test_runs_that_cannot_be_kept(wall: Path) -> None:
    """Minutes of measurement before a traceback, in a checkout that is only to be read."""
    with (
        pytest.raises(LabError, match=r"cannot be written: .*\n.*--out FOLDER"),
        beside(wall / "x"),
    ):
        pytest.fail("the lab was run")


def test_a_checkout_that_is_read_only(
    tmp_path: Path, wall: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A book that fails after all labs, and half a new chapter."""
    for name in ("_toc.yml", "_build"):
        (tmp_path / name).touch()
    with pytest.raises(LabError, match=r"_build cannot be written"):
        build_book(tmp_path, tmp_path / "runs")
    refuse = LabError("cannot be written")
    monkeypatch.setattr(writing, "ready", lambda *_: (_ for _ in ()).throw(refuse))
    with pytest.raises(LabError, match="cannot be written"):
        new.make(tmp_path, "serving/trial")
    assert {file.name for file in tmp_path.iterdir()} == {"_toc.yml", "_build", "file"}


@pytest.mark.parametrize(
    ("place", "said"),
    [("{wall}", "cannot be used: Not a directory."), ("/tmp/" + "long" * 25, "is too long for a")],
)
def test_a_stack_without_a_place_says_so_once(
    wall: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    """Two tracebacks around one sentence, which a reader does not find."""
    monkeypatch.setenv("LAB_STATE", place.format(wall=wall))
    with pytest.raises(LabError) as caught:
        SupervisorClient.begin()
    first, second = str(caught.value).splitlines()
    assert said in first
    assert second.startswith("Set LAB_STATE to a short folder on a local disk")
    assert type(caught.value) is LabError


def test_a_disk_without_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor who finds all well on a shared disk on which no stack ever starts."""
    monkeypatch.setattr(state, "place", lambda: tmp_path / "lab")
    state.check()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(state.SupervisorInfo, "socket", tmp_path / "none/supervisor.sock")
    with pytest.raises(LabError, match=r"no socket in .*\nSet LAB_STATE"):
        state.check()
    assert list(tmp_path.iterdir()) == []


# --- the doctor ----------------------------------------------------------------------------------


def test_the_doctor_writes_where_labs_will(
    tmp_path: Path, wall: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is well, says the doctor, and the first lab ends in a traceback."""
    monkeypatch.setattr(paths, "repository", lambda: tmp_path)
    monkeypatch.delenv("LAB_MODELS", raising=False)
    for name in ("LAB_CACHE", "LAB_STATE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert {each.state for each in checks.written()} == {State.OK}
    assert [file.name for file in tmp_path.iterdir()] == ["file"]  # and nothing is left
    for name in ("LAB_CACHE", "LAB_STATE"):
        monkeypatch.setenv(name, str(wall))
    (tmp_path / "runs").touch()
    found = {each.what: each for each in checks.written()}
    assert [each.state for each in found.values()] == [State.LIMITED, State.LIMITED, State.BROKEN]
    named = {
        "place of models": "LAB_CACHE",
        "place of runs": "--out",
        "place of stacks": "LAB_STATE",
    }
    assert all(named[what] in each.remedy for what, each in found.items())


def test_the_doctor_recommends_nothing_that_fails(
    wall: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lab models` as the way out, where it cannot write."""
    monkeypatch.delenv("LAB_MODELS", raising=False)
    monkeypatch.setenv("LAB_CACHE", str(wall))
    models = {each.what: each for each in checks.models("Set LAB_CACHE.")}
    assert models["model good"].remedy == "Set LAB_CACHE. Then: lab models"
    assert {each.remedy for each in checks.models("")} == {"lab models", "lab models big"}


def test_a_long_folder_for_temporary_files_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is too long for a socket, which no lab can do without."""
    monkeypatch.delenv("LAB_STATE", raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "t" * 95)
    stacks = list(checks.written())[-1]
    assert (stacks.state, "too long for a socket" in stacks.text) == (State.BROKEN, True)
    assert "LAB_STATE" in stacks.remedy


def test_a_write_that_is_cut_off_leaves_the_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of a hundred nights that is half a file, as the disk was full."""
    file = tmp_path / "record.json"
    writing.whole(file, "old")
    plain = Path.write_text

    def half(path: Path, text: str) -> int:
        plain(path, text[:2])
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="no space"):
        writing.whole(file, "new")
    assert file.read_text() == "old"
