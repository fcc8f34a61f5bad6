import asyncio
import gzip
import json
import math
import shutil
import sys

import httpx
import onnxruntime
import pytest

from lab_services.errors import LabError
from lab_services.models import features, payloads, store
from lab_services.models.features import EXAMPLE
from lab_services.services.predictor import MAX_BATCH

JSON = {"content-type": "application/json"}
ONE = json.dumps(EXAMPLE)


def _with(**changes):
    return json.dumps({**EXAMPLE, **changes})


# What a client may send to /predict: the good, the odd and the wrong.
BODIES = {
    "example": ONE,
    **{f"flight {n}": json.dumps(flight) for n, flight in enumerate(payloads.flights(20))},
    "whole number for a measure": _with(rain=0),
    "key given twice": ONE[:-1] + ', "departs": 5}',
    "spaces": f"  {ONE}\n",
    "utf-16": ONE.encode("utf-16"),
    "unknown carrier": _with(carrier="ZZ"),
    "text for a number": _with(departs="1065"),
    "fraction for a count": _with(departs=1065.0),
    "true for a number": _with(weekday=True),
    "below": _with(departs=-1),
    "above": _with(humidity=100.1),
    "not a number": _with(wind=math.nan),
    "infinite": _with(wind=math.inf),
    "beyond a double": ONE.replace("18.4", "1e999"),
    "very long whole number": ONE.replace("1065", "9" * 5000),
    "null": _with(origin=None),
    "unknown origin": _with(origin="BOS"),
    "lower case": _with(carrier="b6"),
    "line end after a code": _with(carrier="B6\n"),
    "minus zero": _with(rain=-0.0),
    "unknown field": _with(delay=5),
    "missing field": json.dumps({k: v for k, v in EXAMPLE.items() if k != "rain"}),
    "empty object": "{}",
    "list": f"[{ONE}]",
    "cut short": ONE[:-5],
    "nothing": "",
    "not utf-8": b'{"carrier": "\xff"}',
    "lone surrogate": ONE.replace("B6", "\\ud800"),
    "gzip": gzip.compress(ONE.encode()),
    "nested deeply": "[" * 200_000,
    "too large": ONE + " " * (1 << 20),
}


def _told(answer):
    headers = {k: v for k, v in answer.headers.items() if k != "date"}
    return answer.status_code, headers, answer.content


def test_batched_and_alone_answer_alike(client):
    """Micro-batching that accepts, refuses or rounds otherwise than a call for each request."""
    batched, alone = client(MICRO_BATCHING="1"), client(MICRO_BATCHING="0")
    statuses = set()
    for name, body in BODIES.items():
        answers = [
            _told(each.post("/predict", content=body, headers=JSON)) for each in (batched, alone)
        ]
        assert answers[0] == answers[1], name
        statuses.add(answers[0][0])
    assert {200, 422} <= statuses


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("application/problem+json", 200),
        ("text/plain", 422),
        (None, 422),
    ],
)
def test_a_body_is_read_as_json_where_its_type_says_so(client, kind, status):
    """A body that is taken for JSON without a word of it, or a client that is refused for its
    charset."""
    headers = {"content-type": kind} if kind else {}
    for path, body in (("/predict", ONE), ("/predict/batch", f"[{ONE}]")):
        assert client().post(path, content=body, headers=headers).status_code == status


def test_other_methods_are_refused(client):
    assert client().get("/predict").status_code == 405


def test_answers_are_those_of_the_model(client, good):
    """Rows in another order, or the other class's column, still look like probabilities."""
    flights = payloads.flights(50)
    session = onnxruntime.InferenceSession(good)
    rows = features.prepare(flights, features.Codes(**store.card("good")["codes"]))
    expected = session.run(["probabilities"], {"flights": rows})[0][:, 1].tolist()
    served = client(LATE_ABOVE="0.2")
    batch = served.post("/predict/batch", json=flights).json()
    single = [served.post("/predict", json=flight).json() for flight in flights]
    assert batch == single
    assert [answer["probability"] for answer in single] == pytest.approx(expected, abs=1e-6)
    assert [answer["late"] for answer in single] == [p > 0.2 for p in expected]


def test_the_patch_changes_the_answer(client):
    (flight,) = payloads.flights(1)
    strict, lax = client(LATE_ABOVE="0").post, client(LATE_ABOVE="1").post
    assert strict("/predict", json=flight).json()["late"]
    assert not lax("/predict", json=flight).json()["late"]


def test_waiting_requests_share_a_run(good, client):
    """Batching that never batches, or that hands one client another one's answer."""
    flights = payloads.flights(64)
    alone = client()
    expected = [alone.post("/predict", json=flight).json() for flight in flights]
    together = client(MICRO_BATCHING="1")

    async def at_once():
        transport = httpx.ASGITransport(together.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://predictor") as sender:
            return await asyncio.gather(*(sender.post("/predict", json=f) for f in flights))

    answers = [answer.json() for answer in asyncio.run(at_once())]
    for answer, one in zip(answers, expected, strict=True):
        assert answer == pytest.approx(one, abs=2e-6)
    counted = together.get("/metrics").text
    assert "micro_batch_requests_sum 64.0" in counted
    runs = float(counted.split("micro_batch_requests_count ")[1].split()[0])
    assert runs <= 8, f"{runs} runs for 64 requests at once"


def test_a_failing_run_fails_every_request_in_it(client, monkeypatch):
    """A future that nobody resolves: requests that wait for ever."""
    together = client(MICRO_BATCHING="1")

    def broken(rows):
        raise RuntimeError("no answer")

    monkeypatch.setattr(together.app.model, "predict", broken)

    async def at_once():
        transport = httpx.ASGITransport(together.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://predictor") as sender:
            sent = (sender.post("/predict", json=EXAMPLE) for _ in range(5))
            return await asyncio.wait_for(asyncio.gather(*sent), timeout=5)

    assert [answer.status_code for answer in asyncio.run(at_once())] == [500] * 5


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"departs": 1440}, "departs", ["0 to 1439", "minutes after local midnight"]),
        ({"wind": -1}, "wind", ["0 to 150", "mph"]),
        ({"origin": "BOS"}, "origin", ["EWR, JFK, LGA"]),
        ({"carrier": "United"}, "carrier", ["[0-9A-Z]{2}"]),
        ({"distance": "187"}, "distance", ["number", "1 to 6000", "miles"]),
    ],
)
def test_a_refusal_names_field_limits_and_an_example(client, change, field, says):
    served = client()
    answer = served.post("/predict", json={**EXAMPLE, **change})
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["field"] == field
    assert all(text in problem["limits"] for text in says)
    assert str(change[field]) in problem["got"]
    mended = {**EXAMPLE, field: problem["example"]}
    assert served.post("/predict", json=mended).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gzip", "Not JSON: it is not UTF-8, invalid start byte at character 1"),
        ("not utf-8", "Not JSON: it is not UTF-8, invalid start byte at character 13"),
        ("nested deeply", "Not JSON: it is nested too deeply"),
        ("very long whole number", "Not JSON: Exceeds the limit"),
        ("cut short", "Not JSON: "),
    ],
)
def test_what_is_no_json_is_refused_in_the_same_shape(client, path, name, says):
    """A bare 400 without field, limits and example, for which a client needs code of its own."""
    answer = client().post(path, content=BODIES[name], headers=JSON)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["field"] == "body" and problem["problem"].startswith(says)
    assert "sent as application/json" in problem["limits"] and problem["example"]


def test_a_content_encoding_is_refused_by_its_name(client):
    """An encoded body that is called damaged JSON, or taken as if it were not encoded."""
    served = client()
    for body in (ONE, BODIES["gzip"]):
        answer = served.post("/predict", content=body, headers={**JSON, "content-encoding": "gzip"})
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
        assert answer.json()["detail"][0]["field"] == "content-encoding"
        assert answer.json().keys() == served.post("/predict", json={}).json().keys()
    plain = served.post("/predict", content=ONE, headers={**JSON, "content-encoding": "identity"})
    assert plain.status_code == 200


def test_head_is_answered_where_get_is(client):
    """A load balancer that asks by HEAD takes a service out that is well."""
    served = client()
    for path in ("/ready", "/live", "/model", "/", "/openapi.json"):
        head, whole = served.head(path), served.get(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-length"] == whole.headers["content-length"]
    assert served.head("/metrics").status_code == 200
    assert (served.head("/predict").status_code, served.head("/nowhere").status_code) == (405, 404)


@pytest.mark.parametrize(
    "body", [_with(rain=math.nan), _with(rain=math.inf), _with(rain=-math.inf)]
)
def test_numbers_that_are_none_are_refused(client, body):
    """NaN passes every comparison that is written the wrong way round, and a tree answers it."""
    answer = client().post("/predict", content=body, headers=JSON)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["field"] == "rain"
    assert "finite" in problem["problem"]


def test_a_batch_names_the_row(client):
    flights = payloads.flights(4)
    flights[2]["visibility"] = 11
    (problem,) = client().post("/predict/batch", json=flights).json()["detail"]
    assert (problem["row"], problem["field"]) == (2, "visibility")


def test_a_batch_too_large_names_the_limit(client):
    answer = client().post("/predict/batch", json=payloads.flights(MAX_BATCH + 1))
    assert answer.status_code == 422
    assert f"1 to {MAX_BATCH}" in answer.json()["detail"][0]["limits"]


def test_a_refusal_of_thousands_of_faults_stays_short(client):
    refusal = client().post("/predict/batch", json=[{}] * 100).json()
    assert len(refusal["detail"]) == 10
    assert refusal["more"] == 100 * len(EXAMPLE) - 10


def test_a_body_without_end_is_not_read_to_the_end(client):
    assert client().post("/predict", content="[" * (2 << 20), headers=JSON).status_code == 413


def test_the_page_shows_units_limits_and_examples(client):
    described = client().get("/openapi.json").json()
    flight = described["components"]["schemas"]["Flight"]
    assert flight["additionalProperties"] is False
    assert flight["required"] == list(features.FEATURES)
    for name, about in flight["properties"].items():
        assert about["description"] and about["examples"], name
        assert "unit" in about or about["type"] == "string", name
    predict = described["paths"]["/predict"]["post"]
    assert "Refusal" in json.dumps(predict["responses"]["422"])
    assert "422" not in described["paths"]["/ready"]["get"]["responses"]


def test_the_card_is_served(client):
    assert client().get("/model").json() == store.card("good")


def test_requests_are_counted_by_path_and_status(client):
    """Requests that no alarm hears of: refused, unknown, or too large to be read."""
    served = client()
    served.post("/predict", json=EXAMPLE)
    served.post("/predict", json={})
    served.get("/nowhere")
    served.post("/predict", content="[" * (2 << 20), headers=JSON)
    counted = served.get("/metrics").text
    for labels in (
        'path="/predict",status="200"',
        'path="/predict",status="422"',
        'path="/predict",status="413"',
    ):
        assert f"request_seconds_count{{{labels}}} 1.0" in counted
    assert 'request_seconds_count{path="other",status="404"} 1.0' in counted
    assert "process_cpu_seconds_total" in counted or sys.platform != "linux"


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"THREADS": "many"}, "THREADS is 'many'"),
        ({"THREADS": "0"}, "from 1 to 256"),
        ({"MICRO_BATCHING": "yes"}, "MICRO_BATCHING"),
        ({"LATE_ABOVE": "1.5"}, "from 0 to 1"),
        ({"LATE_ABOVE": "nan"}, "LATE_ABOVE"),
        ({"MODEL": "/nowhere/good.onnx"}, "lab models"),
    ],
)
def test_a_setting_out_of_range_is_refused_at_the_start(client, environment, says):
    with pytest.raises(LabError, match=says):
        client(**environment)


def test_a_damaged_model_is_not_served(client, good, tmp_path):
    for file in (good, good.with_suffix(".json")):
        shutil.copy(file, tmp_path)
    broken = tmp_path / good.name
    broken.write_bytes(broken.read_bytes() + b"?")
    with pytest.raises(store.ModelDamaged):
        client(MODEL=str(broken))


def test_many_weathers_are_those_of_their_flight(client):
    """The mean over samples that belong to another flight, or to no flight."""
    flights = payloads.flights(20)
    many = client(SAMPLES="50", FORECAST_ERROR="0.2")
    batch = many.post("/predict/batch", json=flights).json()
    assert batch == [many.post("/predict", json=flight).json() for flight in flights]
    one = client().post("/predict/batch", json=flights).json()
    exact = client(SAMPLES="50", FORECAST_ERROR="0").post("/predict/batch", json=flights).json()
    for sure, same, mean in zip(one, exact, batch, strict=True):
        assert same["probability"] == pytest.approx(sure["probability"], abs=2e-6)
        assert mean["probability"] == pytest.approx(sure["probability"], abs=0.2)


def test_a_long_batch_leaves_room_for_others(client):
    """A thousand flights made a replica silent, and the proxy in front took it out of its list."""
    served = client(SAMPLES="16000")
    flights = payloads.flights(30)

    async def at_once():
        transport = httpx.ASGITransport(served.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://predictor") as sender:
            batch = asyncio.create_task(sender.post("/predict/batch", json=flights))
            ready = 0
            while not batch.done():
                ready += (await sender.get("/ready")).status_code == 200
                await asyncio.sleep(0)
            return await batch, ready

    batch, ready = asyncio.run(at_once())
    assert len(batch.json()) == 30
    assert ready >= 10, "there are 29 turns between the pieces"
