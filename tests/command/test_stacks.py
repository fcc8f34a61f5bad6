"""up, ps, logs, fault, down: on real stacks."""

import re
import signal
import subprocess
import sys

import pytest

from tests.command.terminal import NO_ENGINE, PREDICTOR, Terminal, wait_until

UP = ("up", str(PREDICTOR), "--runtime", "process")


def ident(output: str) -> str:
    found = re.search(r"\b[0-9a-f]{8}-[0-9a-f]{4}\b", output)
    assert found, output
    return found[0]


def test_a_stack_from_up_to_down(lab: Terminal) -> None:
    """A stack that ends with `lab up` itself, or that outlives `lab down`."""
    up = lab(*UP)
    name = ident(up.stdout)
    assert "predictor  2        ready" in up.stdout

    assert "predictor 2/2" in lab("ps").stdout
    assert f"{PREDICTOR} on process" in lab("ps", name).stdout
    assert "startup complete" in lab("logs", "predictor").stdout
    assert "--- predictor" in lab("logs", "--lines", "1").stdout

    lab("fault", "kill", "predictor", "--replica", "2")
    row = lab("ps").stdout
    assert "predictor 1/2" in row
    assert "kill predictor 2" in row
    lab("fault", "start", "predictor", "--replica", "2")
    assert "kill" not in lab("ps").stdout
    lab("fault", "pause", "predictor")
    assert "paused" in lab("ps", name).stdout
    lab("fault", "resume", "predictor")
    assert "0.5 cores a replica" in lab("fault", "limit-cpu", "predictor", "0.5").stdout
    assert "limit-cpu predictor 0.5 cores" in lab("ps").stdout
    lab("fault", "clear", "predictor")
    assert "limit-cpu" not in lab("ps").stdout
    assert "no service 'web'" in lab("fault", "partition", "predictor", "web", fails=1).stderr
    assert "predictor  3        ready" in lab("fault", "scale", "predictor", "3").stdout
    lab("fault", "rollout", "predictor", "LATE_ABOVE=0.4", "--stack", name)

    assert "is down" in lab("down").stdout
    assert lab("ps").stdout == "No stack runs.\n"
    assert lab.nothing_is_left()


def test_a_compose_file_is_found_from_another_folder(lab: Terminal) -> None:
    """A path that only meant something where `lab up` was called."""
    process = subprocess.run(
        [sys.executable, "-m", "lab_services.command", "up", PREDICTOR.name],
        cwd=PREDICTOR.parent,
        env={**lab.environment, "LAB_RUNTIME": "process"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert "predictor  1        ready" in lab("ps", str(PREDICTOR)).stdout


def test_several_stacks_are_named(lab: Terminal) -> None:
    """A command that takes one of several stacks at random."""
    first, second = ident(lab(*UP).stdout), ident(lab(*UP).stdout)
    for words in (("down",), ("down", str(PREDICTOR)), ("fault", "pause", "predictor")):
        refused = lab(*words, fails=1).stderr
        assert first in refused
        assert second in refused
    assert len(lab("ps").stdout.splitlines()) == 3

    lab("down", first)
    assert first not in lab("ps").stdout
    lab("logs", "predictor")  # only one is left: it is meant


def test_another_program_s_stack_is_seen_and_ended(lab: Terminal) -> None:
    """A notebook's stack that the terminal does not know; an `--all` that leaves it."""
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from lab_services.stack import Stack\n"
            f"stack = Stack({str(PREDICTOR)!r}, 'process').up()\n"
            "print('up', flush=True); sys.stdin.read()",
        ],
        env=lab.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        assert f"process {owner.pid}" in lab("ps").stdout
        lab(*UP)
        lab("down", "--all")
        assert lab("ps").stdout == "No stack runs.\n"
        assert lab.nothing_is_left()
    finally:
        owner.communicate()


def test_all_also_removes_what_a_killed_supervisor_left(lab: Terminal) -> None:
    """Services that run on because the one process that knew them is gone."""
    lab(*UP)
    (supervisor,) = lab.supervisors()
    services = supervisor.children(recursive=True)
    supervisor.kill()
    supervisor.wait(10)
    lab("down", "--all")
    wait_until(lambda: not any(service.is_running() for service in services))
    assert lab.nothing_is_left()


def test_down_all_where_nothing_runs(lab: Terminal) -> None:
    """A clean-up that fails because it has nothing to do."""
    lab("down", "--all")
    assert lab.nothing_is_left()


@pytest.mark.parametrize(
    "words",
    [
        ("up", "serving/web-singel"),
        ("ps", "serving/web-singel"),
        ("logs", "-s", "serving/web-singel"),
        ("load", "serving/web-singel"),
        ("fault", "kill", "predictor", "-s", "serving/web-singel"),
        ("down", "serving/web-singel"),
        ("open", "serving/web-singel"),
        ("run", "serving/web-singel"),
    ],
)
def test_an_unknown_lab_is_answered_with_the_nearest(lab: Terminal, words: tuple[str]) -> None:
    """A typing error that ends in a traceback or without advice."""
    refused = lab(*words, fails=1).stderr
    assert "There is no lab 'serving/web-singel'." in refused
    assert "serving/web-single" in refused.splitlines()[1]
    assert lab.nothing_is_left()


@pytest.mark.parametrize(
    "words",
    [
        ("down",),
        ("logs",),
        ("logs", "predictor"),
        ("fault", "kill", "predictor"),
        ("load", "serving/web-single"),
        ("down", "12345678-9abc"),
    ],
)
def test_no_stack_runs(lab: Terminal, words: tuple[str]) -> None:
    """A command on a stack, given where there is none."""
    refused = lab(*words, fails=1).stderr
    assert re.search("No stack|no stack", refused)
    assert len(refused.splitlines()) == 2  # what is wrong, and what to do


def test_docker_asked_for_and_not_there(lab: Terminal) -> None:
    """A missing engine found out by a traceback, or answered by another runtime in silence."""
    refused = lab("up", str(PREDICTOR), "--runtime", "docker", fails=1, **NO_ENGINE)
    assert "Docker cannot be used here" in refused.stderr
    assert "process" in refused.stderr.splitlines()[-1]
    assert lab.nothing_is_left()


def test_auto_takes_processes_where_no_engine_answers(lab: Terminal) -> None:
    """`lab up` refused on a machine without Docker."""
    up = lab("up", str(PREDICTOR), **NO_ENGINE)
    assert f"{PREDICTOR} on process" in up.stdout


def test_a_service_that_dies_is_shown_with_its_last_lines(lab: Terminal) -> None:
    """A stack that cannot come up, waited for, or left half-started."""
    file = lab.state / "dies.yaml"
    file.write_text(
        "services:\n"
        "  short:\n"
        "    image: lab-services\n"
        "    command: [python, -c, \"import sys; print('no salt'); sys.exit(7)\", --port, '8000']\n"
        '    ports: ["127.0.0.1::8000"]\n'
        "    healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:8000/']}\n"
    )
    refused = lab("up", str(file), "--runtime", "process", fails=1).stderr
    assert "exit code 7" in refused
    assert "no salt" in refused
    file.unlink()
    assert lab.nothing_is_left()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_up_leaves_nothing(lab: Terminal, number: int, code: int) -> None:
    """A half-started stack that nobody will ever take down."""
    file = lab.state / "never.yaml"
    file.write_text(
        "services:\n"
        "  never:\n"
        "    image: lab-services\n"
        '    command: [python, -c, "import time; time.sleep(1000)", --port, "8000"]\n'
        '    ports: ["127.0.0.1::8000"]\n'
        "    healthcheck: {test: [CMD, curl, -f, 'http://127.0.0.1:8000/']}\n"
    )
    process = lab.begin("up", str(file), "--runtime", "process")
    wait_until(lambda: any(supervisor.children(recursive=True) for supervisor in lab.supervisors()))
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (code, False), out + err
    file.unlink()
    assert lab.nothing_is_left()


@pytest.mark.parametrize(
    "words",
    [
        ("dwon",),
        ("fault", "kil", "predictor"),
        ("up",),
        ("up", "serving/web-single", "--runtime", "podman"),
        ("down", "serving/web-single", "--all"),
        ("fault", "scale", "predictor", "0"),
        ("fault", "delay", "predictor", "0"),
        ("fault", "errors", "predictor", "--status", "200"),
        ("fault", "rollout", "predictor", "LATE_ABOVE"),
        ("load", "serving/web-single", "--rate", "-1"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(lab: Terminal, words: tuple[str]) -> None:
    """A wrong use that looks like a failure of the stack to a script."""
    assert "Usage: lab" in lab(*words, fails=2).stderr


def test_the_nearest_command_is_named(lab: Terminal) -> None:
    """A typing error in a command's own name."""
    assert "Did you mean: down" in lab("dwon", fails=2).stderr


def test_what_the_stack_refuses_is_a_message(lab: Terminal) -> None:
    """Unknown services and replicas; a fault that this stack has no proxy for."""
    lab(*UP)
    assert "It has: predictor." in lab("fault", "kill", "predicter", fails=1).stderr
    assert "There are: 1, 2." in lab("fault", "kill", "predictor", "--replica", "9", fails=1).stderr
    assert "not paused" in lab("fault", "resume", "predictor", fails=1).stderr
    assert "proxy" in lab("fault", "delay", "predictor", "0.1", fails=1).stderr
    assert "proxy" in lab("fault", "errors", "predictor", fails=1).stderr
    assert "no service" in lab("logs", "predicter", fails=1).stderr
