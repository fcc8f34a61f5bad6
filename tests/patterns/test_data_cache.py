"""Data cache: what is kept and how, who reads the warehouse, what is stale, and the theory."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import psycopg
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from lab_services import traffic
from lab_services.labs.serving import data_cache as lab
from lab_services.models import build
from lab_services.patterns.serving.data_cache import app as service
from lab_services.patterns.serving.data_cache import preparing

NOON = datetime(2013, 11, 5, 12, tzinfo=UTC)
GOOD = {"temp": 50.0, "dewp": 40.0, "humid": 60.0, "wind_dir": 10.0, "wind_speed": 8.0,
        "wind_gust": None, "precip": 0.0, "pressure": 1010.0, "visib": 10.0}  # fmt: skip


class FewReports:
    """A source of five flights and three reports, without the files of the real one."""

    reports = pd.DataFrame(
        [{"origin": "JFK", "hour": NOON - timedelta(hours=h), **GOOD, "temp": 50.0 - h}
         for h in (27, 26, 25)]
    ).astype({"wind_gust": float})  # fmt: skip
    flights = pd.DataFrame(
        {"carrier": "B6", "origin": "JFK", "destination": "BOS", "weekday": 2, "departs": 720,
         "distance": 187.0, "hour": [NOON] * 5, "late": False}
    )  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(postgres_server):
    warehouse = lab.Warehouse(postgres_server)
    yield warehouse
    warehouse.database.close()


@pytest.fixture
def stack(redis_server, warehouse, monkeypatch):
    """The service, its cache and its warehouse, filled."""
    for name, value in {
        "CACHE_URL": redis_server,
        "DATABASE_URL": warehouse.url,
        "MODEL": str(build.ensure("good")["good"]),
    }.items():
        monkeypatch.setenv(name, value)
    assert warehouse.fill(FewReports(), 5) == 24  # three reports, each without a gust
    with Redis.from_url(redis_server) as cache, TestClient(service.app) as client:
        cache.flushall()
        client.cache = cache  # type: ignore[attr-defined]
        yield client


def question(flight=1, **changed):
    asked = {"flight": flight, "form": "features", "policy": "plain"}
    return asked | {"expires": 60.0, "together": False} | changed


def ask(client, **changed):
    """What is answered, and what the header tells: source, version, seconds."""
    answer = client.post("/predict", json=question(**changed))
    assert answer.status_code == 200, answer.text
    return answer.json(), answer.headers["x-answered-by"].split()


def dossier(*temperatures, **changed):
    reports = [
        {"hour": NOON + timedelta(hours=n), **GOOD, "temp": temperature, **changed}
        for n, temperature in enumerate(temperatures)
    ]
    flight = {"carrier": "B6", "origin": "JFK", "destination": "BOS", "weekday": 2}
    flight |= {"departs": 720, "distance": 187.0, "briefed": NOON}
    return {"version": 7, "flight": flight, "reports": reports}


# --- the service ----------------------------------------------------------------------------------


def test_the_second_question_is_a_hit_and_the_answer_the_same(stack):
    """A form whose entry is not what was prepared; an entry that another form finds."""
    without, (source, version, spent) = ask(stack, form="nothing")
    assert (source, version) == ("read", "1") and float(spent) > 0
    for form in preparing.ENCODE:
        assert ask(stack, form=form)[1][0] == "read"
        answer, (source, version, _) = ask(stack, form=form)
        assert (source, version) == ("hit", "1")
        assert answer["probability"] == pytest.approx(without["probability"], abs=1e-5)


def test_an_entry_expires(stack):
    """Seconds taken for milliseconds."""
    ask(stack, expires=0.05)
    assert 0 < stack.cache.pttl(preparing.key_of("features", "plain", 1)) <= 50
    time.sleep(0.06)
    assert ask(stack)[1][0] == "read"


def test_who_misses_together_reads_once(stack):
    """Coalescing that lets two read; a number that nobody has and everybody waits for."""
    with ThreadPoolExecutor(8) as pool:
        together = [pool.submit(ask, stack, flight=2, together=True) for _ in range(8)]
        sources = [each.result()[1][0] for each in together]
    assert sources.count("read") == 1
    assert set(sources) <= {"read", "waited", "hit"}
    for together in (True, False):  # type: ignore[assignment]
        refused = stack.post("/predict", json=question(flight=99, together=together))
        assert refused.status_code == 404 and "99" in refused.json()["detail"]
    assert not service.under_way


def test_what_is_told_is_forgotten(stack, warehouse):
    """A changed row that stays in the cache; one that was not to be told of and goes."""
    for policy in (service.TOLD, "plain"):
        ask(stack, policy=policy)
    assert warehouse.brief(1) == 2
    key = preparing.key_of("features", service.TOLD, 1)
    wait_for(lambda: not stack.cache.exists(key))
    assert ask(stack, policy=service.TOLD)[1][:2] == ["read", "2"]
    assert ask(stack)[1][:2] == ["hit", "1"]


def test_what_nobody_heard_of_is_forgotten(stack, warehouse):
    """Entries that are wrong for good because the connection was down when it was told."""
    ask(stack, policy=service.TOLD)
    key = preparing.key_of("features", service.TOLD, 1)
    with psycopg.connect(warehouse.url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
    wait_for(lambda: not stack.cache.exists(key))


@pytest.mark.alone
def test_a_cache_that_hangs_is_passed_by(stack, monkeypatch):
    """A service that waits for what was to make it faster."""
    ask(stack)
    monkeypatch.setattr(service, "PATIENCE", 0.02)
    stack.cache.execute_command("CLIENT", "PAUSE", 300, "ALL")
    began = time.monotonic()
    assert ask(stack)[1][0] == "passed"
    assert time.monotonic() - began < 0.25
    wait_for(lambda: ask(stack)[1][0] == "hit")


def test_a_warehouse_that_is_busy_is_not_waited_for(stack, warehouse, monkeypatch):
    """Requests that wait for a minute and more, and an error that blames the service."""
    monkeypatch.setattr(service, "DEADLINE", 0.1)
    with psycopg.connect(warehouse.url) as other:
        other.execute("LOCK TABLE reports")
        began = time.monotonic()
        refused = stack.post("/predict", json=question())
        assert refused.status_code == 503 and "in time" in refused.json()["detail"]
        assert time.monotonic() - began < 1
    assert ask(stack)[1][0] == "read"


def test_another_preparation_finds_nothing_of_the_old_one(stack, monkeypatch):
    """A new model fed by the old preparation until the last entry has expired."""
    ask(stack)
    monkeypatch.setattr(preparing, "PREPARATION", 2)
    assert ask(stack)[1][0] == "read"


def test_without_usable_weather_there_is_no_answer(stack, warehouse):
    """A prediction from nothing; a failure that is kept."""
    warehouse.database.execute("UPDATE reports SET value = 1000 WHERE name = 'wind_speed'")
    for form in ("nothing", "features", "tensor"):
        refused = stack.post("/predict", json=question(form=form))
        assert refused.status_code == 503 and "3 reports" in refused.json()["detail"]
    assert not stack.cache.keys("*")


@pytest.mark.parametrize("wrong", [{"form": "pickle"}, {"expires": 0}, {"policy": "a:b"}])
def test_what_makes_no_sense_is_refused(stack, wrong):
    """A policy that reads another's entries; an entry that never was."""
    assert stack.post("/predict", json=question(**wrong)).status_code == 422


def wait_for(holds, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- preparing ------------------------------------------------------------------------------------


def test_the_newest_usable_report_is_taken():
    """A station's nonsense given to the model; the oldest report in the place of the newest."""
    assert preparing.features_of(dossier(40.0, 45.0))["temperature"] == 45.0
    assert preparing.features_of(dossier(40.0, 45.0, 999.0))["temperature"] == 45.0
    assert preparing.features_of(dossier(40.0, None))["temperature"] == 40.0
    with pytest.raises(preparing.NoWeather, match="None of 2"):
        preparing.features_of(dossier(40.0, 45.0, wind_speed=1048.0))


def test_packed_rows_are_the_rows():
    """A gap that becomes a number; columns in another order."""
    whole = dossier(40.0, None, 45.0)
    found = preparing.unpack(preparing.pack(whole))
    assert found["flight"] | {"briefed": NOON} == whole["flight"]
    assert [r["temp"] for r in found["reports"]] == pytest.approx([40.0, np.nan, 45.0], nan_ok=True)
    assert found["reports"][0]["pressure"] == 1010.0
    assert preparing.features_of(found)["temperature"] == 45.0


def test_each_form_leads_to_the_same_rows():
    """A form that prepares differently."""
    prepare = lab.loaded_prepare()
    rows = {}
    for form in preparing.ENCODE:
        version, rows[form] = preparing.decode(
            form, preparing.encode(form, dossier(40.0), prepare), prepare
        )
        assert version == 7
    assert rows["tensor"].shape == (preparing.SAMPLES, 11)
    for form in ("rows", "packed", "features"):
        np.testing.assert_allclose(rows[form], rows["tensor"], rtol=1e-6)
    with pytest.raises(KeyError):
        preparing.encode("pickle", dossier(40.0), prepare)


def test_writers_write_down_what_they_changed(stack, warehouse):
    """A version that nobody can tell the time of; an error that is never heard of."""
    writers = lab.Writers(warehouse, stack.cache, "features", flights=5, rate=20.0)
    for flight in range(5):
        ask(stack, flight=flight, policy=lab.BY_WRITER)
    with writers:
        wait_for(lambda: len(writers.log) >= 20)
    newest = warehouse.database.execute("SELECT id, version FROM flights ORDER BY id").fetchall()
    counted = writers.log.groupby("flight")["version"].max()
    assert {row["id"]: row["version"] for row in newest} == counted.reindex(
        range(5), fill_value=1
    ).to_dict()
    assert writers.log["at"].is_monotonic_increasing
    assert len(stack.cache.keys(f"*:{lab.BY_WRITER}:*")) < 5
    with (
        pytest.raises(LookupError),
        lab.Writers(warehouse, stack.cache, "features", 900, 1.0) as lost,
    ):
        wait_for(lambda: not lost._thread.is_alive())


def test_a_sized_cache_throws_out_and_is_normal_afterwards(stack):
    """A policy that stays behind and throws out entries of the next experiment."""
    asked = traffic.draw(np.full(2000, 1 / 2000), 2000).tolist()
    with lab.Sized(stack.cache, 1_000_000) as small:  # room for less than half of them
        hits = lab.replay(small, "features", [b"x" * 1000], 2000, asked)
    assert 0.2 < np.mean(hits) < 0.65
    assert stack.cache.config_get("maxmemory")["maxmemory"] == "0"
    assert stack.cache.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    assert lab.entry_bytes(stack.cache, ["features"]).empty
    ask(stack)
    assert lab.entry_bytes(stack.cache, ["features"])["features"].between(48, 400).all()
