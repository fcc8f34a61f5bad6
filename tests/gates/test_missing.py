"""What is missing on the machine: a test that needs it is skipped, and fails where CI is set; the
reason, the summary of `make test` and `lab doctor` say the same."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from lab_services.command import checks
from lab_services.command.checks import State
from lab_services.command.doctor import doctor
from lab_services.stack import messages, servers
from lab_services.stack.servers import BinaryMissing
from tests import conftest, suite

# Any of them, and then which: a test that is skipped by what it tries has not failed.
ANY = (pytest.skip.Exception, pytest.fail.Exception, BinaryMissing)
SKIPPED, FAILED, _ = ANY


def outcome(error: Exception) -> pytest.ExceptionInfo[BaseException]:
    """What becomes of a test that ends with this error."""
    with pytest.raises(ANY) as told, conftest.servers_may_be_missing():
        raise error
    return told


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without engine, browser and servers; CI is not set."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(servers, "_WHEELS", {})
    monkeypatch.setattr(checks, "_BROWSERS", ("chromium",))
    monkeypatch.delenv("CI", raising=False)
    conftest._docker.cache_clear()


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    yield
    conftest._docker.cache_clear()


@pytest.mark.usefixtures("bare")
def test_a_server_is_skipped_for_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors all over the tests of a Mac without Envoy; green in CI without having run."""
    told = outcome(BinaryMissing("envoy"))
    assert told.type is SKIPPED
    assert str(told.value).startswith(f"{checks.binary('envoy')}\n")
    monkeypatch.setenv("CI", "true")
    assert outcome(BinaryMissing("envoy")).type is FAILED


@pytest.mark.usefixtures("bare")
def test_a_supervisor_that_lacks_a_server_counts_too() -> None:
    """An error that comes over the socket as its text alone, and is no reason to skip then."""
    told = messages.Failed.by(BinaryMissing("envoy"))
    assert outcome(told.error()).type is SKIPPED


def test_a_slip_in_a_compose_file_is_no_reason_to_skip() -> None:
    """A program that nobody has, skipped for on every machine."""
    assert outcome(BinaryMissing("envoi")).type is BinaryMissing


@pytest.mark.usefixtures("bare")
def test_the_same_words_everywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A summary that names what the doctor calls well, or another way to get it."""
    monkeypatch.setattr(suite, "STEPS", {})
    assert suite.main() == 0
    summary = capsys.readouterr().out
    told = CliRunner().invoke(doctor).output
    lacking = [each for each in checks.from_outside() if each.state is not State.OK]
    assert {each.what for each in lacking} == {"Docker", *checks.SERVERS, "Chromium"}
    for each in lacking:
        assert each.remedy
        assert str(each) in summary
        assert f"{each.state:<8} {each.what}: {each.text}\n{'':8}   {each.remedy}\n" in told


@pytest.mark.usefixtures("bare")
def test_docker_is_skipped_for_in_the_doctors_words(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A reason that nobody finds again in what the doctor says."""
    (finding,) = checks._docker()
    request.node.add_marker("docker")
    monkeypatch.delenv("LAB_REQUIRE_DOCKER", raising=False)
    for ci, expected in (("", SKIPPED), ("true", FAILED)):
        monkeypatch.setenv("CI", ci)
        with pytest.raises(ANY) as told:
            next(conftest.pytest_runtest_setup(request.node))
        assert told.type is expected
        assert str(told.value).startswith(f"{finding.what}: {finding.text}\n")


def test_the_hooks_are_in_force(pytestconfig: pytest.Config) -> None:
    """Rules that are tested, and that no test goes through."""
    manager = pytestconfig.pluginmanager
    for hook in (manager.hook.pytest_runtest_setup, manager.hook.pytest_runtest_call):
        assert any(each.function in vars(conftest).values() for each in hook.get_hookimpls())
