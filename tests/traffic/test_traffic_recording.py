"""The recording: kept whole in a file, joined, and honest about a late generator."""

import gzip

import pandas as pd
import pytest

from lab_services import traffic
from lab_services.errors import LabError
from lab_services.traffic.recording import judge_lateness


def recording(begin=1000.0, count=100, lateness=0.0, **more):
    intended = [begin + number / 10 + number**0.5 * 1e-7 for number in range(count)]
    table = pd.DataFrame(
        {
            "intended": intended,
            "started": [moment + lateness for moment in intended],
            "latency": [0.1 + number / 7 for number in range(count)],
            "response_time": 0.1,
            "status": [200, 503] * (count // 2),
            "error": ["", '# NA, too "many"\n'] * (count // 2),
            "ok": [True, False] * (count // 2),
            "bytes": 15,
            "warmup": [number < 10 for number in range(count)],
            "variant": "007",
            "model": 1.5,
        }
    )
    return traffic.Recording(table, begin=begin, seconds=count / 10, **more)


def test_a_file_gives_back_the_same_recording(tmp_path):
    """Floats must not be rounded, and a text such as NA or 007 must stay a text."""
    before = recording(title="baseline", late=True, note="It was late.", interrupted=True)
    after = traffic.Recording.load(before.save(tmp_path / "a.csv.gz"))
    pd.testing.assert_frame_equal(before.table, after.table, check_exact=True)
    assert before.disturbance.as_json() == after.disturbance.as_json()
    apart = {"table": None, "disturbance": None}
    assert {**vars(before), **apart} == {**vars(after), **apart}


def test_the_same_recording_gives_the_same_bytes(tmp_path, monkeypatch):
    """gzip writes the time of day into a file when it is let."""
    contents = []
    for now in (1e9, 2e9):
        monkeypatch.setattr("gzip.time.time", lambda now=now: now)
        contents.append(recording().save(tmp_path / "a.csv.gz").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("content", [b"", b"not gzip", gzip.compress(b"a,b\n1,2\n", mtime=0)])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content)
    with pytest.raises(LabError):
        traffic.Recording.load(path)


def test_a_cut_file_is_refused(tmp_path):
    """Half a table must not be read as a shorter run."""
    path = recording().save(tmp_path / "a.csv.gz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(LabError):
        traffic.Recording.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LabError, match="nowhere"):
        traffic.Recording.load(tmp_path / "nowhere.csv.gz")


def test_joined_recordings_keep_every_row_and_every_warning():
    one = recording(begin=2000, late=True, note="It was late.")
    two = recording(begin=1000, interrupted=True)
    both = traffic.Recording.join([one, two])
    assert len(both) == 200
    assert both.table["intended"].is_monotonic_increasing
    assert both.begin == 1000
    assert both.seconds == 20
    assert both.late
    assert both.interrupted
    assert both.note == "It was late."


def test_the_warm_up_does_not_count():
    """A slow first second must not stand in the lateness of the measurement."""
    one = recording()
    one.table.loc[one.table["warmup"], "started"] += 5
    assert len(one.measured) == 90
    assert max(one.lateness.values()) < 0.001


@pytest.mark.parametrize(
    ("lateness", "latency", "late"),
    [
        (0.004, 0.001, False),  # what a shared core explains
        (0.008, 0.001, True),
        (0.008, 1.0, False),  # less than a tenth of what is shown
        (0.2, 1.0, True),
    ],
)
def test_late_means_that_it_changes_the_numbers(lateness, latency, late):
    table = recording(lateness=lateness).table
    table["latency"] = latency
    note = judge_lateness(table, processor=0.2, waited=0)
    assert bool(note) is late


@pytest.mark.parametrize(
    ("processor", "waited", "reason"),
    [(0.99, 0, "generators=2"), (0.3, 0, "busy with other work"), (0.3, 7, "no connection")],
)
def test_the_note_says_why(processor, waited, reason):
    table = recording(lateness=0.5).table
    table["latency"] = 0.5
    assert reason in judge_lateness(table, processor, waited)


def test_timed_from_the_actual_start_nothing_is_late():
    """An answer that looks slow because it was asked for late; a recording that is changed."""
    table = pd.DataFrame({"latency": [0.1], "response_time": [0.001]})
    late = traffic.Recording(table, begin=0.0, seconds=1.0, late=True, note="behind")
    timed = late.from_actual_start()
    assert timed.table["latency"].tolist() == [0.001] and not timed.late and not timed.note
    assert late.table["latency"].tolist() == [0.1] and late.note == "behind"
