"""The frame of a scheduler: processes of their own, and what is told of their ends."""

import os
import re
import signal
import sys
import threading
import time

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from starlette.testclient import TestClient

from lab_services.services.jobs import JobRunner

pytestmark = pytest.mark.usefixtures("own_fork_server")


@pytest.fixture
def scheduler():
    return JobRunner("tests", lambda: BackgroundScheduler(timezone="UTC"), imports="json")


def last_success(client):
    found = re.search(
        r"^job_last_success_timestamp_seconds (\S+)$", client.get("/metrics").text, re.M
    )
    return float(found[1])


@pytest.mark.parametrize(
    ("target", "argument", "code"),
    [
        (time.sleep, 0.1, 0),
        (sys.exit, 3, 3),
        (signal.raise_signal, signal.SIGKILL, -9),
    ],
)
def test_a_run_says_how_it_ended(scheduler, target, argument, code):
    """A crash that looks like a success, or that ends the scheduler too."""
    ended = scheduler.run(target, argument)
    assert ended["exit_code"] == code
    assert 0 < ended["seconds"] < 10
    if target is time.sleep:
        assert ended["seconds"] >= 0.1


def test_only_a_run_that_ends_well_is_a_success(scheduler):
    """An alarm on absence that every failure puts off."""
    with TestClient(scheduler) as client:
        scheduler.run(sys.exit, 1)
        assert last_success(client) == 0
        before = time.time()
        scheduler.run(os.getpid)
        assert before <= last_success(client) <= time.time()


def test_the_plan_fires_while_the_service_runs_and_not_after(scheduler):
    """A schedule that goes on without its service, or never begins."""
    fired = threading.Semaphore(0)
    with TestClient(scheduler):
        scheduler.plan.add_job(fired.release, "interval", seconds=0.05)
        assert fired.acquire(timeout=5)
    assert not scheduler.plan.running


def test_a_run_imports_nothing_of_the_service(scheduler, tmp_path):
    """A job of a gigabyte because it carries its scheduler along, and one that imports anew."""
    told = tmp_path / "modules"
    ended = scheduler.run(
        exec, f"import sys; open({str(told)!r}, 'w').write(' '.join(sys.modules))"
    )
    assert ended["exit_code"] == 0
    modules = told.read_text().split()
    assert "json" in modules
    assert "apscheduler" not in modules and "fastapi" not in modules
