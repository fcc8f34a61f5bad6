"""Batch: what a run writes, what a rerun adds, who may run, and the arithmetic of the lab."""

import time

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from lab_services.labs.serving import batch as lab
from lab_services.models import features, store
from lab_services.patterns.serving.batch import job, scheduler, tables
from lab_services.report import Change, charts
from lab_services.report.stats import Interval

FLIGHTS = 40
BAD = 28


@pytest.fixture(scope="module")
def server(postgres_server):
    """A PostgreSQL, and the environment of the job."""
    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("DATABASE_URL", postgres_server)
        settings.setenv("MODEL", str(store.model_path("rough")))
        yield postgres_server


class Tables(lab.Controls):
    """The lab's controls, without a stack."""

    def __init__(self, url):
        self.database = tables.connect(url)


@pytest.fixture
def controls(server):
    """Forty flights of which nothing is predicted."""
    controls = Tables(server)
    tables.create(controls.database)
    controls.database.execute("TRUNCATE runs, parts")
    controls.deliver([features.EXAMPLE] * FLIGHTS)
    yield controls
    controls.database.close()


def run(**changed):
    """Run the job as the scheduler does; its exit code."""
    return scheduler.run(lab.order(chunk=10, **changed))["exit_code"]


# --- the job, on PostgreSQL ---------------------------------------------------------------------


def test_every_flight_gets_one_prediction(controls):
    """A part that nobody takes, an answer that the service would not give."""
    assert run() == 0
    assert controls.count("predictions") == (FLIGHTS, FLIGHTS)
    (share,) = controls.database.execute("SELECT DISTINCT probability FROM predictions").fetchone()
    assert 0 < share < 1
    ended = controls.runs().iloc[-1]
    assert (ended["status"], ended["night"]) == ("succeeded", 1)
    assert ended["seconds"] > 0 and ended["cpu_seconds"] > 0


def test_what_is_there_is_not_made_again(controls):
    """A rerun of what is missing that does everything; one of everything that does nothing."""
    run()
    run(night=1, rerun="missing")
    assert controls.parts()["flights"].sum() == FLIGHTS
    run(night=1, rerun="everything")
    assert controls.parts()["flights"].sum() == 2 * FLIGHTS
    assert controls.count("predictions") == (FLIGHTS, FLIGHTS)


def test_a_bad_flight_is_named_and_what_was_done_stays(controls):
    """A NaN that is predicted from in silence; a failure that takes the finished parts along."""
    controls.spoil(BAD)
    assert run(workers=1) == 1
    failed = controls.runs().iloc[-1]
    assert failed["status"] == "failed"
    assert failed["reason"].startswith(f"Flight {BAD}, temperature: Input should be a valid number")
    done = controls.parts()
    assert 20 <= done["flights"].sum() <= 30  # the parts before it, and perhaps the one behind
    assert controls.count("predictions")[0] == done["flights"].sum()
    controls.mend()
    assert run(night=1, rerun="missing") == 0
    assert controls.parts()["flights"].sum() == FLIGHTS


def test_appended_rows_are_there_twice(controls):
    """The lab's comparison, were it none."""
    for _ in range(2):
        run(write="append")
    assert controls.count("appended") == (2 * FLIGHTS, FLIGHTS)
    assert controls.count("predictions") == (0, 0)


def test_an_older_night_that_comes_late_changes_nothing(controls):
    """Yesterday's prediction over today's, where two runs overlap."""
    run(night=5)
    run(night=4, rerun="everything")
    nights = controls.database.execute("SELECT DISTINCT night FROM predictions").fetchall()
    assert nights == [(5,)]


def test_a_run_that_finds_the_lock_taken_leaves(controls, server):
    """Two runs at once; a lock that outlives its owner."""
    other = tables.connect(server)
    assert tables.alone(other)
    assert run(lock=True) == job.SKIPPED
    assert controls.runs().iloc[-1]["status"] == "skipped"
    assert controls.count("predictions") == (0, 0)
    other.close()
    deadline = time.monotonic() + 5
    while run(lock=True) == job.SKIPPED:
        assert time.monotonic() < deadline
    assert controls.count("predictions") == (FLIGHTS, FLIGHTS)


def test_the_scheduler_fires_so_many_times(controls):
    """A schedule that never ends, or begins with a firing too few; an order that makes no sense."""
    with TestClient(scheduler.app) as client:
        plan = {"order": lab.order(), "every": 0.4, "firings": 2, "one_at_a_time": False}
        first = client.post("/schedule", json=plan).json()["first"]
        controls._scheduler, controls._client = "", client
        runs = controls.over(firings=2, since=first - 0.1)
        assert list(runs["night"]) == [1, 2]
        assert runs["began"].iloc[-1] > first + 0.35  # a busy machine begins later
        refused = client.post("/runs", json={**lab.order(), "workers": 0})
        assert refused.status_code == 422


def test_the_job_by_itself_reads_its_environment(monkeypatch):
    """A cron line whose settings are ignored, or out of range."""
    monkeypatch.setenv("CHUNK", "250")
    stated = job._stated()
    assert (stated["chunk"], stated["lock"], stated["rerun"]) == (250, True, "missing")
    monkeypatch.setenv("WORKERS", "0")
    with pytest.raises(Exception, match="WORKERS is '0'"):
        job._stated()


def test_only_the_right_clause_passes_the_exercise(server):
    """An exercise that takes any upsert."""
    update = "ON CONFLICT (flight) DO UPDATE SET night = excluded.night, probability = "
    right = f"{update} excluded.probability WHERE trial.night <= excluded.night"
    with tables.connect(server) as database:
        assert lab.keeps_one_and_the_newest(database, right)
        for wrong in ("", "; DROP TABLE trial", "ON CONFLICT DO NOTHING", f"{update} trial.night"):
            assert not lab.keeps_one_and_the_newest(database, wrong)


# --- what the lab reads off ----------------------------------------------------------------------


def parts_of(*rows):
    return pd.DataFrame(rows, columns=["run", "night", "first", "last", "flights", "at"])


def test_a_night_that_is_run_again_from_the_start():
    """Work that was done twice and is not counted; a second write that makes a flight fresh."""
    parts = parts_of((1, 1, 0, 4, 5, 11.0), (2, 1, 0, 4, 5, 14.0), (2, 1, 5, 9, 5, 15.0))
    night = lab.night_of(parts, 1, began=10.0, flights=10)
    assert (night.recomputed, night.finished) == (5, 5.0)
    assert night.stale == pytest.approx((5 * 1.0 + 5 * 5.0) / 10)


def test_a_flight_that_waits_is_fresh_with_the_next_night():
    """A night that counts as finished although a part of it was never done."""
    parts = parts_of((1, 1, 0, 4, 5, 11.0), (2, 2, 0, 9, 10, 22.0))
    night = lab.night_of(parts, 1, began=10.0, flights=10)
    assert (night.recomputed, night.finished) == (0, 12.0)
    assert night.stale == pytest.approx((5 * 1.0 + 5 * 12.0) / 10)


def nights_chart(parts, changes):
    """The chart of the lab, of night 1 that begins at 10 s and night 2 at 21 s."""
    fresh = lab.freshness(parts, pd.Series({1: 10.0, 2: 21.0}), flights=10)
    kept = {"unit": "share", "y": "predictions of tonight", "name": "n", "title": "t"}
    return charts.series({"fresh": fresh}, faults=changes, begin=10.0, **kept)


def test_the_charts_say_what_they_show():
    """A chart that only those who see it can read."""
    parts = parts_of((1, 1, 0, 4, 5, 11.0), (2, 2, 0, 9, 10, 22.0))
    nights = [Change("wait", "", 10.0, 10.0), Change("healthy", "", 21.0, 21.0)]
    alt = nights_chart(parts, [*nights, Change("failed", "", 11.5, 12.0)]).alt
    assert "at most 50.0 %, 50.0 % at the end; then 0 % at first, at most 100 %" in alt
    assert "wait at 0 s. failed at 1.5 s until 2 s. healthy at 11 s." in alt
    chart = lab.cost_chart(
        {"job": {500: 2.0}},
        {"job": lambda n: 1 + n / 500, "service": lambda n: n / 100},
        crossover=Interval.exact(125, "predictions a day"),
        most=1e5,
        name="c",
        title="t",
    )
    assert "crossover: 125 predictions" in chart.alt and "service: 10.0 s a thousand" in chart.alt


def test_charts_have_gaps_for_what_was_not_measured():
    """A night without a fresh flight, or a crossover that is not there, ends the run."""
    alt = nights_chart(parts_of((2, 2, 0, 9, 10, 22.0)), []).alt
    assert "at most 0 %, 0 % at the end; then 0 % at first, at most 100 %" in alt
    never = Interval.unknown("no row was cheaper", "predictions a day")
    costs = {"job": lambda n: -1.0 + n / 500}
    chart = lab.cost_chart({}, costs, never, most=1e5, name="c", title="t")
    assert "no row was cheaper" in chart.alt
