"""Batch training: what its checks stop, what a killed run leaves, which alarm goes off."""

import asyncio
import contextlib
import multiprocessing
import os
import time

import numpy as np
import pandas as pd
import pytest

from lab_services.labs.training.batch_training import months
from lab_services.models import store
from lab_services.patterns.training.batch_training import (
    checks,
    job,
    naive,
    predictor,
    registry,
    scheduler,
    tables,
    training,
    watch,
)

# MLflow asks SQLAlchemy for what the next one will not have.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:sqlalchemy", "ignore::DeprecationWarning:mlflow"
)
BEFORE = [(1, 1000, 0.3), (2, 1100, 0.28)]


def month(seed=0, rows=1000):
    """Flights whose lateness follows their hour, so that there is something to learn."""
    random = np.random.default_rng(seed)
    departs = random.integers(300, 1400, rows)
    return pd.DataFrame(
        {
            "carrier": random.choice(["B6", "9E"], rows),
            "origin": random.choice(["EWR", "JFK", "LGA"], rows),
            "destination": random.choice(["BOS", "SFO"], rows),
            "weekday": random.integers(1, 8, rows),
            "departs": departs,
            "distance": random.integers(100, 2500, rows),
            "temperature": random.normal(60, 10, rows),
            "humidity": random.uniform(20, 90, rows),
            "wind": random.uniform(0, 30, rows),
            "rain": 0.0,
            "visibility": 10.0,
            "late": random.random(rows) < departs / 3500,
        }
    )


def as_delivered(condition="whole", seed=0):
    """A month as the job reads it."""
    texts = months.delivery(month(seed), condition)
    content = texts.assign(month=3, place=range(len(texts))).to_csv(index=False).encode()
    return training.read_csv(content)


# --- checks -----------------------------------------------------------------------------------


def test_a_whole_month_passes():
    """A check that stops good months, so that nobody leaves it on."""
    checks.check(as_delivered(), 3, BEFORE)
    checks.check(as_delivered(), 3, [])


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("separators", r"departs is no number in \d+ of 1,000 rows, such as '1,\d\d\d'"),
        ("blank", "late is empty in 1,000 of 1,000 rows"),
        ("tenth", "100 rows, where the months before had 1,050"),
        ("empty", "there is no row"),
    ],
)
def test_a_bad_month_is_refused_in_words(condition, said):
    """A bad month that is trained on, or a refusal that does not say what is wrong."""
    with pytest.raises(checks.MonthRefused, match=said):
        checks.check(as_delivered(condition), 3, BEFORE)


def test_values_outside_the_limits_are_refused():
    """A wind of 1,048 mph, which the real data holds."""
    table = as_delivered()
    table.loc[7, "wind"] = 1048.0
    with pytest.raises(checks.MonthRefused, match="wind breaks"):
        checks.check(table, 3, BEFORE)


def test_a_missing_column_is_refused():
    """A column that was renamed, and a check that dies of it."""
    with pytest.raises(checks.MonthRefused, match="wind is missing"):
        checks.check(as_delivered().drop(columns="wind"), 3, BEFORE)


def test_some_empty_outcomes_are_refused():
    """The last days of a month not in yet."""
    texts = months.delivery(month()).astype(str)
    texts.loc[900:, "late"] = ""
    table = training.read_csv(texts.to_csv(index=False).encode())
    with pytest.raises(checks.MonthRefused, match="late is empty in 100 of 1,000"):
        checks.check(table, 3, BEFORE)


@pytest.mark.parametrize("late", [False, True])
def test_a_month_where_all_or_none_are_late_is_refused(late):
    """Outcomes that are filled, all with the same."""
    with pytest.raises(checks.MonthRefused, match="times as frequent"):
        checks.check(as_delivered().assign(late=late), 3, BEFORE)


# --- training ---------------------------------------------------------------------------------


def test_the_last_quarter_of_the_month_is_held_out():
    """A comparison on flights that the candidate has trained on, or on another month's."""
    table = pd.DataFrame({"month": [1] * 8 + [2] * 8})
    known, unseen = training.split(table, 2)
    assert list(unseen.index) == [14, 15]
    assert len(known) == 14


def test_a_model_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """Half of a model under its final name."""
    trained = training.fit(month())
    card = training.card(trained, 3, 1000)
    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            training.write(tmp_path / "late" / "2013-03", trained, card)
    assert not (tmp_path / "late" / "2013-03").exists()
    path = training.write(tmp_path / "late" / "2013-03", trained, card)
    table = month(1)
    read = training.opened(path)
    assert np.array_equal(training.predict(read, table), training.predict(trained, table))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(store.ModelDamaged):
        training.opened(path)


def test_it_learns_something():
    """A model that is no better than the share of late flights."""
    trained, table = training.fit(month(rows=4000)), month(1)
    share = np.full(len(table), table["late"].mean(), dtype=np.float32)
    assert training.loss(trained, table) < training.losses(table["late"].to_numpy(), share).mean()


def test_the_naive_job_makes_anything_usable():
    """A naive run that crashes, and so would do no harm."""
    texts = training.usable(as_delivered("separators"))
    assert (texts["departs"] == 0).sum() > 100
    blank = training.usable(as_delivered("blank"))
    assert not blank["late"].any()
    assert training.usable(as_delivered())["late"].equals(month()["late"])


# --- watch ------------------------------------------------------------------------------------


def armed():
    watching = watch.Watch()
    watching.arm({"model": "late", "stale_after": 2.0})
    return watching, watching.since


@pytest.mark.parametrize(
    ("look", "fired"),
    [
        ((False, False, False), []),
        ((True, False, False), ["report"]),
        ((False, True, False), ["exit code"]),
        ((False, False, True), ["probe"]),
    ],
)
def test_each_alarm_goes_off_for_its_sign_alone(look, fired):
    """An alarm wired to the sign of another."""
    watching, since = armed()
    watching.saw(since + 1, *look, last=since)
    assert list(watching.fired) == fired


def test_absence_goes_off_above_the_threshold_and_only_once():
    """An alarm on absence that moves on each look, or that counts from before it was armed."""
    watching, since = armed()
    watching.saw(since + 1.9, False, False, False, last=0.0)
    assert not watching.fired
    watching.saw(since + 2.1, False, False, False, last=0.0)
    watching.saw(since + 2.2, False, False, False, last=0.0)
    assert watching.fired == {"absence": since + 2.1}
    watching.arm({"model": "late", "stale_after": 2.0})
    assert not watching.fired


# --- scheduler --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "done", "runs"),
    [(1, {1}, [2]), (3, {1, 2, 3}, [4]), (3, {2, 4}, [3]), (3, {2, 3, 4}, [4]), (9, {2}, [3, 4])],
)
def test_months_without_a_success_are_made_up_for(passed, done, runs, monkeypatch):
    """A month lost for good because the scheduler was down at its end."""
    started = []
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setattr(tables, "connect", contextlib.nullcontext)
    monkeypatch.setattr(tables, "succeeded", lambda *_: done)
    monkeypatch.setattr(scheduler, "run", lambda month, *_, **__: started.append(month))
    plan = {"model": "late", "first": 2, "last": 4, "month_seconds": 10.0, "die_after": ""}
    scheduler.month_end(plan, time.time() - 10 * passed)
    assert started == runs


def test_files_outside_the_models_are_not_handed_out(tmp_path, monkeypatch):
    """A download that reads any file of the container."""
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    (tmp_path / "secret").write_text("x")
    with pytest.raises(scheduler.HTTPException):
        scheduler._file("..", "secret")


# --- predictor --------------------------------------------------------------------------------


def test_a_damaged_champion_does_not_take_the_place_of_a_whole_one(tmp_path, monkeypatch):
    """A predictor that stops to answer because of a bad release."""
    monkeypatch.setenv("MODEL", "")
    trained = training.fit(month())
    card = training.card(trained, 3, 1000)
    paths = [training.write(tmp_path / name, trained, card) for name in ("one", "two")]
    paths[1].write_bytes(b"half")
    following = predictor.Following()
    asyncio.run(following.serve(1, str(paths[0])))
    with pytest.raises(store.ModelDamaged):
        asyncio.run(following.serve(2, str(paths[1])))
    assert following.version == 1 and following.model is not None


def test_without_a_champion_it_says_so(monkeypatch):
    """An answer that no model has given."""
    monkeypatch.setattr(predictor, "following", predictor.Following())
    with pytest.raises(predictor.HTTPException, match="no champion"):
        predictor.answers([])


# --- the job, on PostgreSQL and MLflow --------------------------------------------------------


@pytest.fixture(scope="module")
def database(postgres_server, tmp_path_factory):
    """A PostgreSQL with four months, and the environment of the job."""
    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("DATABASE_URL", postgres_server)
        settings.setenv("MODELS_DIR", str(tmp_path_factory.mktemp("models")))
        with tables.connect() as connection:
            tables.create(connection)
            for number in (1, 2, 3, 4):
                months.deliver(connection, number, months.delivery(month(number)))
            yield connection


@pytest.fixture(scope="module")
def mlflow(database):
    """MLflow's client on that database."""
    return registry.client()


def versions(mlflow, model):
    return [int(v.tags["month"]) for v in registry.Registry(model, mlflow).versions()]


def test_run_twice_it_leaves_one_version(database, mlflow):
    """A second version of the same month, and a champion that changes for nothing."""
    for _ in range(2):
        job.main(1, "twice")
    job.main(2, "twice")
    job.main(1, "twice")
    known = registry.Registry("twice", mlflow)
    assert versions(mlflow, "twice") == [1, 2]
    champion = known.champion()
    assert champion is not None and champion.tags["month"] in ("1", "2")
    statuses = database.execute("SELECT status FROM job_runs WHERE model = 'twice'").fetchall()
    assert {status for (status,) in statuses} == {"succeeded"}


def test_a_refused_month_changes_nothing(database, mlflow):
    """A champion trained on a bad month, or a refusal that nobody wrote down."""
    job.main(1, "refused")
    months.deliver(database, 2, months.delivery(month(2), "separators"))
    with pytest.raises(SystemExit) as left:
        job.main(2, "refused")
    months.deliver(database, 2, months.delivery(month(2)))
    assert left.value.code == job.REFUSED
    assert versions(mlflow, "refused") == [1]
    query = "SELECT reason FROM job_runs WHERE model = 'refused' AND status = 'refused'"
    assert "departs is no number" in database.execute(query).fetchone()[0]
    job.main(2, "refused")
    assert versions(mlflow, "refused") == [1, 2]


def test_a_candidate_that_is_worse_stays_one(database, mlflow):
    """A gate that lets everything pass."""
    job.main(1, "worse")
    known = registry.Registry("worse", mlflow)
    first = known.champion()
    assert first is not None
    run = known.track(2, {}, {"loss": 0.9})
    worse = known.register("nowhere", run, {"month": 2, "loss": 0.9, "champion_loss": 0.5})
    job.promote(known, worse)
    champion = known.champion()
    assert champion is not None and champion.version == first.version
    named = mlflow.get_model_version_by_alias("worse", registry.CANDIDATE)
    assert named.version == worse.version


def test_an_unforeseen_error_is_written_down(database, monkeypatch):
    """A run that fails and is never heard of again."""
    monkeypatch.setattr(job, "gather", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        job.main(1, "broken")
    query = "SELECT status, reason FROM job_runs WHERE model = 'broken'"
    assert database.execute(query).fetchone() == ("failed", "ZeroDivisionError: division by zero")


def test_killed_anywhere_and_run_again_it_leaves_one_whole_version(database, mlflow, tmp_path):
    """Two versions, a half-written model or a lock that outlives its owner."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lab_services.patterns.training.batch_training.warm"])
    for step in ("written", "registered"):
        for die_after, code in ((step, -9), ("", 0)):
            run = context.Process(target=job.main, args=(1, f"killed-{step}", die_after))
            run.start()
            run.join()
            assert run.exitcode == code
        known = registry.Registry(f"killed-{step}", mlflow)
        assert versions(mlflow, f"killed-{step}") == [1]
        champion = known.champion()
        assert champion is not None
        training.opened(tmp_path.joinpath(str(champion.source)))


def test_the_naive_job_leaves_a_version_more(database, mlflow):
    """A naive run that is harmless, and a lab that compares with nothing."""
    for _ in range(2):
        naive.main(1, "careless")
    assert versions(mlflow, "careless") == [1, 1]


def test_a_lock_keeps_two_runs_apart_and_dies_with_its_owner(database):
    """Two runs of a month at once; a lock that somebody has to remove by hand."""

    def free():
        query = "SELECT pg_try_advisory_lock(hashtext('late 5')), pg_advisory_unlock_all()"
        return database.execute(query).fetchone()[0]

    owner = tables.connect()
    with tables.locked(owner, "late 5"):
        assert not free()
    assert free()
    owner.execute("SELECT pg_advisory_lock(hashtext('late 5'))")
    assert not free()
    owner.close()  # as a kill does
    deadline = time.monotonic() + 5
    while not free():
        assert time.monotonic() < deadline
