"""`lab load`: traffic from a terminal, to a real predictor."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_services.stack.ports import free_port
from lab_services.traffic import Recording
from tests.command.terminal import PREDICTOR, Terminal, wait_until
from tests.warm import Warm


@pytest.fixture(scope="module")
def lab(warm: Warm) -> Iterator[Terminal]:
    """A terminal with a stack that all of these send to, and nobody changes."""
    with Terminal.opened(warm) as terminal:
        terminal("up", str(PREDICTOR), "--runtime", "process")
        yield terminal


def test_a_stack_is_sent_flights_that_it_accepts(lab: Terminal, tmp_path: Path) -> None:
    """A summary without what a lab reports together; a recording that is not kept."""
    file = tmp_path / "recording.csv.gz"
    sent = lab("load", str(PREDICTOR), "--rate", "50", "--seconds", "2", "--save", str(file)).stdout
    for part in ("requests", "throughput", "errors", "latency p50", "latency p99", "x 200"):
        assert part in sent
    assert "p99 latency needs 1000" in sent  # no quantile from too few requests
    recording = Recording.load(file)
    assert len(recording) > 50
    assert recording.table["ok"].all()


def test_a_url_is_sent_as_many_as_asked_for(lab: Terminal) -> None:
    """A rate that is not the one asked for; even distances that are not even."""
    row = next(line for line in lab("ps", str(PREDICTOR)).stdout.splitlines() if "→" in line)
    url = f"http://{row.rpartition('→')[2]}/predict"
    words = ("--rate", "30", "--seconds", "2", "--arrivals", "constant")
    assert f"60 in 2.0 s to {url}" in lab("load", url, *words).stdout


def test_nobody_answers(lab: Terminal) -> None:
    """A wrong URL whose measurements look like a success to a script."""
    url = f"http://127.0.0.1:{free_port(set())}/predict"
    assert "Not one of" in lab("load", url, "--seconds", "1", fails=1).stderr


def test_what_cannot_be_sent(lab: Terminal, tmp_path: Path) -> None:
    """Bad input found out after the measurement, or by a traceback."""
    assert "https://x" in lab("load", "https://x", fails=1).stderr
    refused = lab("load", str(PREDICTOR), "--service", "proxy", fails=1).stderr
    assert "It has: predictor." in refused
    refused = lab("load", str(PREDICTOR), "--port", "9", fails=1).stderr
    assert "publishes no port 9" in refused
    nowhere = str(tmp_path / "none" / "recording.csv.gz")
    assert "There is no folder" in lab("load", str(PREDICTOR), "--save", nowhere, fails=1).stderr
    refused = lab("load", str(PREDICTOR), LAB_MODELS=str(tmp_path), fails=1).stderr
    assert "lab models" in refused


def test_an_interrupt_keeps_what_was_recorded(lab: Terminal, tmp_path: Path) -> None:
    """Ctrl-C after a long measurement that throws it away."""
    file = tmp_path / "recording.csv.gz"
    before = _served(lab)
    process = lab.begin("load", str(PREDICTOR), "--seconds", "100", "--save", str(file))
    wait_until(lambda: _served(lab) > before)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in err) == (130, False), out + err
    assert "Interrupted after" in out
    assert Recording.load(file).interrupted


def _served(lab: Terminal) -> float:
    """How many predictions the first predictor has made."""
    from lab_services.stack import loopback

    row = next(line for line in lab("ps", str(PREDICTOR)).stdout.splitlines() if "→" in line)
    metrics = loopback.get(f"http://{row.rpartition('→')[2]}/metrics").text
    served = [line for line in metrics.splitlines() if "predict" in line and "_count" in line]
    return sum(float(line.split()[-1]) for line in served)
