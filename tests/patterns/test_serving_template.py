"""The serving template: what is stamped, what an update does, what the contract and callers see."""

import asyncio
import logging
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from lab_services import paths
from lab_services.errors import LabError
from lab_services.labs.serving.serving_template import workshop
from lab_services.models.features import EXAMPLE
from lab_services.patterns.serving.serving_template import callers, contract, stamped
from tests.patterns.fake_service import Answer, fake_service

DRY = EXAMPLE | {"rain": 0.0}


@pytest.fixture(scope="module")
def bench():
    with workshop.Workshop() as made:
        yield made


@pytest.fixture(scope="module")
def board(bench):
    return bench.stamp("board", bench.folder / "test-board")


@pytest.fixture(autouse=True)
def models(monkeypatch):
    monkeypatch.setenv("MODELS", str(paths.models_dir()))
    monkeypatch.setenv("MODEL", "")  # set by what is stamped, and taken back after the test


def asked(folder: Path, path: str, body: object) -> httpx.Response:
    with TestClient(stamped.load(folder).app, raise_server_exceptions=False) as client:
        return client.post(path, json=body)  # type: ignore[return-value]


@pytest.mark.parametrize("release", workshop.RELEASES)
def test_every_release_stamps_a_service_that_answers(bench, release):
    made = bench.stamp("crew", bench.folder / f"crew-{release}", release)
    answer = asked(made, "/predict", EXAMPLE).json()
    assert 0 <= answer["probability"] <= 1 and isinstance(answer["late"], bool)


def test_the_defect_shows_on_dry_days_alone(bench, board):
    broken = bench.stamp("board", bench.folder / "defect", workshop.DEFECTIVE)
    assert asked(board, "/predict", DRY).status_code == 200
    assert asked(broken, "/predict", EXAMPLE).status_code == 200
    assert asked(broken, "/predict", DRY).status_code == 500


def test_a_folder_with_two_modules_is_no_service(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).touch()
    with pytest.raises(LabError, match="2 modules"):
        stamped.load(tmp_path)


# --- the contract --------------------------------------------------------------------------------


def test_the_contract_finds_what_is_broken_and_nothing_else(bench, board, tmp_path):
    expected = {
        "chances in per cent": "predict",
        "short error messages": "error shape",
        "a line to read, not to count": "log fields",
        "nobody asks for metadata": "metadata",
    }
    for edit in workshop.EDITS:
        bench.edit(board, tmp_path / edit.name, edit)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "torn.py").write_text("<<<<<<< before updating\n")
    level = logging.getLogger("board").level
    found = asyncio.run(contract.check_all(tmp_path))
    logging.getLogger("board").handlers.clear()
    logging.getLogger("board").setLevel(level)
    assert not any(found.pop("torn").values())
    lost = {name: [part for part in kept if not kept[part]] for name, kept in found.items()}
    assert lost == {
        e.name: [expected[e.name]] if e.name in expected else [] for e in workshop.EDITS
    }


# --- callers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "answer", "said"),
    [
        ("old", {"late": True}, True),
        ("new", {"delayed": True, "late": False}, True),
        ("tolerant", {"late": True}, True),
        ("tolerant", {"delayed": True}, True),
    ],
)
def test_a_caller_reads_what_it_knows(reader, answer, said):
    assert callers.READS[reader](answer) is said


@pytest.mark.parametrize(
    ("reader", "answer"), [("old", {"delayed": True}), ("new", {"late": True})]
)
def test_a_caller_does_not_guess(reader, answer):
    with pytest.raises(KeyError):
        callers.READS[reader](answer)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (Answer({"late": True}), 200),
        (Answer({"delayed": True}), 502),
        (Answer({"detail": "no"}, 422), 503),
        (Answer(b"Internal Server Error", 500), 500),
        (Answer(b"no healthy upstream", 503), 503),
    ],
)
def test_what_becomes_of_a_request_is_said_by_its_status(monkeypatch, given, status):
    """A service that failed taken for one whose answer was not understood, or for none at all."""
    with fake_service(lambda asked: given) as fleet:
        monkeypatch.setenv("GATEWAY_URL", fleet.url)
        with TestClient(callers.app) as client:
            answer = client.post("/old/board", json=EXAMPLE)
    assert answer.status_code == status
    assert fleet.asked[0].path == "/board/predict"


def test_nobody_there_is_said_so(monkeypatch):
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:9")
    with TestClient(callers.app) as client:
        assert client.post("/old/board", json=EXAMPLE).status_code == 503
