"""Packages, the updater and the device, the fleet, the store, and what the lab computes."""

import asyncio
import hashlib
import json
import runpy
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import aiohttp
import numpy as np
import pytest
from starlette.testclient import TestClient

from lab_services import payloads
from lab_services.labs.serving.edge_prediction import compact, lab
from lab_services.models import build, store
from lab_services.models.features import EXAMPLE
from lab_services.patterns.serving.edge_prediction import packages
from lab_services.patterns.serving.edge_prediction.packages import EdgeModel, Failed, Refused
from lab_services.patterns.serving.edge_prediction.updater import OFFLINE, Updater
from tests.patterns.fake_service import Answer, fake_service

HERE = "lab_services.patterns.serving.edge_prediction"
KEY = "the factory's"


@pytest.fixture(scope="module", autouse=True)
def models():
    """The model of the server, whose codes the small ones share, and the small ones."""
    build.ensure("good")
    return compact.ensure()


@pytest.fixture(scope="module")
def known(models):
    return lab.known_answers(payloads.flights(10, seed=7))


@pytest.fixture
def shelf(models, known):
    """A store that holds one package; `publish` puts another there."""
    own = SimpleNamespace(manifest={}, content=b"")

    def answer(asked):
        if asked.path == "/latest":
            return Answer(own.manifest)
        return Answer(own.content)

    def publish(version, name="edge-int8", key=KEY, content=None):
        own.content = models[name].read_bytes() if content is None else content
        codes = store.card(name)["codes"]
        own.manifest = packages.packed(version, own.content, codes, known, key)

    with fake_service(answer) as service:
        own.url, own.asked, own.publish = service.url, service.asked, publish
        yield own


@pytest.fixture
def look(shelf):
    """An updater's look at the store, once for each call."""

    def once(updater):
        async def looking():
            async with aiohttp.ClientSession(shelf.url) as session:
                await updater.look(session)

        asyncio.run(looking())

    return once


def downloads(shelf):
    return sum(asked.path.startswith("/packages/") for asked in shelf.asked)


# --- models --------------------------------------------------------------------------------------


def test_eight_bits_are_smaller_and_say_nearly_the_same(models):
    """A quantisation that left the weights alone, or broke them."""
    flights = payloads.flights(200)
    small, large = (lab.chances(f"edge-{name}", flights) for name in ("int8", "float32"))
    assert models["edge-int8"].stat().st_size < 0.35 * models["edge-float32"].stat().st_size
    assert 0 < abs(small - large).max() < packages.TOLERANCE


# --- packages ------------------------------------------------------------------------------------


def test_what_the_factory_signed_is_taken(known):
    packages.check_signature(packages.packed(1, b"model", {}, known, KEY), KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 9},
        {"sha256": "0" * 64},
        {"codes": {"overall": 0.9}},
        {"known": []},
        {"more": 1},
        {"signature": None},
        {"signature": "0" * 64},
    ],
)
def test_whatever_is_changed_breaks_the_signature(known, change):
    """A store that makes a device believe in another version, other codes or no known answers."""
    manifest = packages.packed(1, b"model", {}, known, KEY) | change
    with pytest.raises(Refused):
        packages.check_signature(manifest, KEY)


def test_another_key_is_not_the_factory(known):
    with pytest.raises(Refused, match="signature"):
        packages.check_signature(packages.packed(1, b"model", {}, known, "a stranger's"), KEY)


def test_what_is_short_or_changed_is_refused():
    manifest = packages.packed(1, b"model", {}, [], KEY)
    right = hashlib.sha256(b"model").hexdigest()
    packages.check_content(manifest, 5, right)
    with pytest.raises(Refused, match="4 bytes, not 5"):
        packages.check_content(manifest, 4, right)
    with pytest.raises(Refused, match="signed"):
        packages.check_content(manifest, 5, hashlib.sha256(b"lodem").hexdigest())


# --- the updater ---------------------------------------------------------------------------------


def test_a_good_package_is_taken_once(shelf, look, tmp_path):
    """A device that stays without a model, or one that downloads the same again and again."""
    updater = Updater(tmp_path, KEY)
    look(updater)  # nothing is released
    assert updater.version == 0
    shelf.publish(1)
    look(updater)
    look(updater)
    assert updater.version == 1 and downloads(shelf) == 1
    assert [event["outcome"] for event in updater.events] == ["installed"]
    assert 0 < updater.model.probability(EXAMPLE) < 1


def test_it_never_goes_back_to_an_older_one(shelf, look, tmp_path):
    """An old package with a known weakness, properly signed, sent by whoever holds the store."""
    updater = Updater(tmp_path, KEY)
    shelf.publish(5)
    look(updater)
    shelf.publish(4)
    look(updater)
    assert updater.version == 5 and downloads(shelf) == 1


@pytest.mark.parametrize(
    "told",
    [
        *(b"", b"<p>please log in</p>", b"\xff", b"[" * 200_000, b"7", b"[]", b'{"version": "x"}'),
        b'{"version": 2, "bytes": 1, "sha256": "0"}',
    ],
)
def test_what_is_no_manifest_ends_no_device(shelf, look, tmp_path, told):
    """One malformed answer of the store, after which a device never looks again."""
    updater = Updater(tmp_path, KEY)
    shelf.manifest = told
    look(updater)
    look(updater)
    (event,) = updater.events
    assert event["outcome"] == "refused" and updater.version == 0 and downloads(shelf) == 0
    shelf.publish(1)
    look(updater)
    assert updater.version == 1


def test_a_store_that_fails_is_no_manifest_and_no_end(shelf, tmp_path):
    """A page of an error that is taken for a release, or that ends the updates."""
    with fake_service(lambda asked: Answer({"detail": "down"}, 503)) as failing:

        async def looking():
            async with aiohttp.ClientSession(failing.url) as session:
                await Updater(tmp_path, KEY).look(session)

        with pytest.raises(OFFLINE):
            asyncio.run(looking())


def broken(shelf, kind):
    noise = lab.damaged(shelf.content)
    match kind:
        case "damaged":
            shelf.publish(2)
            shelf.content = noise
        case "short":
            shelf.publish(2)
            shelf.content = shelf.content[:-1]
        case "stranger":
            shelf.publish(2, key="a stranger's")
        case "no model":
            shelf.publish(2, content=b"this is no model")
        case "other units":
            shelf.publish(2, "edge-metric")


@pytest.mark.parametrize(
    ("kind", "outcome", "fetched"),
    [
        ("damaged", "refused", 1),
        ("short", "refused", 1),
        ("stranger", "refused", 0),
        ("no model", "rolled back", 1),
        ("other units", "rolled back", 1),
    ],
)
def test_a_broken_package_changes_nothing(shelf, look, tmp_path, kind, outcome, fetched):
    """A device that is lost to a package, or that downloads a bad one for ever."""
    updater = Updater(tmp_path, KEY)
    shelf.publish(1)
    look(updater)
    said, before = updater.model.probability(EXAMPLE), downloads(shelf)
    broken(shelf, kind)
    look(updater)
    look(updater)
    assert updater.events[-1]["outcome"] == outcome and updater.events[-1]["reason"]
    assert len(updater.events) == 2 and downloads(shelf) - before == fetched
    assert updater.version == 1 and updater.model.probability(EXAMPLE) == said
    # What starts from this disk starts with the good one.
    again = Updater(tmp_path, KEY)
    again.start()
    assert again.version == 1
    shelf.publish(3)
    look(updater)
    assert updater.version == 3


@pytest.mark.parametrize(
    ("kind", "version"), [("damaged", 2), ("stranger", 2), ("other units", 2), ("no model", 0)]
)
def test_a_careless_device_takes_what_comes(shelf, look, tmp_path, kind, version):
    """A comparison with a device that is careful after all."""
    updater = Updater(tmp_path, KEY, careful=False)
    shelf.publish(1)
    look(updater)
    broken(shelf, kind)
    look(updater)
    assert updater.version == version


def test_power_that_fails_between_swap_and_proof_leaves_a_device_that_starts(shelf, look, tmp_path):
    """The pointer leads to a package that does not work, and nobody is there to turn it back."""
    updater = Updater(tmp_path, KEY)
    shelf.publish(1)
    look(updater)
    bad = tmp_path / "2"
    bad.mkdir()
    (bad / "manifest.json").write_text(json.dumps(shelf.manifest | {"version": 2}))
    (bad / "model.onnx").write_bytes(b"half a mod")
    updater.point("previous", "1")
    updater.point("current", "2")
    again = Updater(tmp_path, KEY)
    again.start()
    assert again.version == 1


def test_an_empty_disk_is_a_device_without_a_model(tmp_path):
    updater = Updater(tmp_path / "new", KEY)
    updater.start()
    assert updater.model is None and updater.version == 0


def test_a_model_must_prove_itself(shelf, look, tmp_path):
    updater = Updater(tmp_path, KEY)
    shelf.publish(1)
    look(updater)
    model = EdgeModel(tmp_path / "1")
    model.prove()
    model.manifest["known"][-1]["probability"] += 2 * packages.TOLERANCE
    with pytest.raises(Failed):
        model.prove()


# --- the device ----------------------------------------------------------------------------------


def test_memory_beyond_the_room_is_refused():
    """A limit that does not limit, or one that ends the process."""
    code = """
        from lab_services.patterns.serving.edge_prediction import device
        limit = device.limit_memory(32)
        kept = bytearray(8_000_000)
        try:
            bytearray(200_000_000)
        except MemoryError:
            print("refused", device.held() <= limit)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=False, env={"DATA": "/tmp/none", "SIGNING_KEY": "x"},
    )  # fmt: skip
    assert done.stdout.split() == ["refused", "True"], done.stderr


@pytest.fixture
def device(shelf, tmp_path, monkeypatch):
    """A device without the limit of memory, which would be that of all tests; and its server."""
    server = SimpleNamespace(asked=0, status=200)

    def answer(asked):
        server.asked += 1
        return Answer({"probability": 0.9, "late": True}, server.status)

    with fake_service(answer) as cloud:
        settings = {
            "DATA": str(tmp_path), "SIGNING_KEY": KEY, "STORE_URL": shelf.url,
            "CLOUD_URL": cloud.url, "CHECK_SECONDS": "0.05", "ALONE": "60",
        }  # fmt: skip
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("resource.setrlimit", lambda kind, limits: None)
        with TestClient(runpy.run_module(f"{HERE}.device")["app"]) as client:
            client.server = server  # type: ignore[attr-defined]
            yield client


def until_version(client, version):
    until = time.monotonic() + 5
    while client.get("/device").json()["version"] != version:
        assert time.monotonic() < until, client.get("/device").json()
        time.sleep(0.02)


def test_without_a_model_it_says_so(device):
    assert device.post("/predict", json=EXAMPLE).status_code == 503


def test_it_answers_by_itself_and_asks_where_it_is_unsure(device, shelf):
    """A device that asks about everything, or about nothing."""
    shelf.publish(1)
    until_version(device, 1)
    own = device.post("/predict", json=EXAMPLE)
    distance = abs(own.json()["probability"] - 0.3)
    assert own.headers["x-answered-by"] == "device, version 1" and device.server.asked == 0
    sure = device.post(f"/hybrid?band={distance * 0.9}", json=EXAMPLE)
    assert sure.json() == own.json() and device.server.asked == 0
    unsure = device.post(f"/hybrid?band={distance * 1.1}", json=EXAMPLE)
    assert unsure.json()["probability"] == 0.9 and unsure.headers["x-answered-by"] == "server"
    refused = device.post("/predict", json=EXAMPLE | {"weekday": 8})
    assert refused.status_code == 422


def test_a_server_that_fails_is_left_alone(device, shelf):
    """Each unsure flight waits for a network that is not there."""
    shelf.publish(1)
    until_version(device, 1)
    device.server.status = 503
    answers = [device.post("/hybrid?band=1", json=EXAMPLE) for _ in range(3)]
    assert {answer.headers["x-answered-by"] for answer in answers} == {"device, version 1"}
    assert device.server.asked == 1


# --- fleet and store -----------------------------------------------------------------------------


def test_every_device_of_a_fleet_updates_itself(shelf, monkeypatch):
    """Devices that share a disk or a model, or look all at once."""
    monkeypatch.setenv("STORE_URL", shelf.url)
    monkeypatch.setenv("SIGNING_KEY", KEY)
    shelf.publish(3)
    with TestClient(runpy.run_module(f"{HERE}.fleet")["app"]) as client:
        client.put("/fleet", json={"each": 4, "intervals": [0.2, 0.4]}).raise_for_status()
        until = time.monotonic() + 5
        while not all(d["version"] == 3 for d in client.get("/fleet").json()):
            assert time.monotonic() < until
            time.sleep(0.05)
        devices = client.get("/fleet").json()
        assert [device["every"] for device in devices] == [0.2] * 4 + [0.4] * 4
        assert len({device["events"][0]["at"] for device in devices}) == 8
        client.put("/fleet", json={"each": 1, "intervals": [3600]}).raise_for_status()
        assert len(client.get("/fleet").json()) == 1
        assert client.put("/fleet", json={"each": 1, "intervals": [0]}).status_code == 422
    assert downloads(shelf) == 8


def test_the_store_keeps_what_comes_in_parts():
    """A model that lost its middle, or one with the end of a longer one."""
    with TestClient(runpy.run_module(f"{HERE}.store")["app"]) as client:
        assert client.get("/latest").json() == {}
        assert client.get("/packages/1").status_code == 404
        assert client.get("/browser/package.json").status_code == 404
        client.put("/packages/1", content=b"abcdef")
        client.put("/packages/1", params={"begin": 0}, content=b"xy")
        client.put("/packages/1", params={"begin": 2}, content=b"z")
        assert client.get("/packages/1").content == b"xyz"
        client.put("/latest", json={"version": 1})
        assert client.get("/latest").json() == {"version": 1}
        handed = client.get("/browser/package.json").json()
        assert handed == {"manifest": {"version": 1}, "model": "eHl6"}
        assert "main.js" in client.get("/browser").text


class Slow:
    """A stack whose devices never come to look at version 2."""

    def json(self, service, path):
        first = {"version": 1, "outcome": "installed", "at": 5.0}
        failed = {"version": 2, "outcome": "rolled back", "at": 6.0}
        device = {"every": 0.0, "version": 1, "events": [first, failed]}
        return [device, {**device, "events": []}] if path == "/fleet" else {"events": [first]}


def test_devices_are_not_waited_for_without_end(monkeypatch):
    """A lab that ends in a traceback because the machine was busy."""
    monkeypatch.setattr(lab, "PATIENCE", 0.05)
    assert lab.wait_for_fleet(Slow(), 1)["at"].tolist() == [5.0, np.inf]
    assert lab.wait_for_fleet(Slow(), 2)["at"].tolist() == [np.inf, np.inf]
    came = {version: lab.outcome(Slow(), version) for version in (1, 2)}
    assert came[1]["outcome"] == "installed"
    assert came[2]["outcome"] is None and "has not looked at package 2" in came[2]["reason"]
    assert lab.as_it_should(came, {1: "installed"}).value == 1
    assert lab.as_it_should(came, {1: "refused"}).value == 0
    both = lab.as_it_should(came, {1: "installed", 2: "refused"})
    assert not both.known and both.note == came[2]["reason"]
