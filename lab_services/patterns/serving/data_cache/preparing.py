"""From a flight's dossier to the rows that a model reads, and where on that way an entry is taken.

dossier --clean, take the newest--> features --in all samples--> the model's input
"rows", "packed"                    "features"                    "tensor"
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from typing_extensions import TypedDict

from lab_services.models.features import FEATURES, SCHEMA
from lab_services.services.forecasts import changes, sampled

# The columns of a station's report, as they are stored.
NUMBERS = (
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
)  # fmt: skip
# What the model calls those of them that it wants.
WANTED = {
    "temp": "temperature",
    "humid": "humidity",
    "wind_speed": "wind",
    "precip": "rain",
    "visib": "visibility",
}
LIMITS = [
    (stored, SCHEMA["properties"][name]["minimum"], SCHEMA["properties"][name]["maximum"])
    for stored, name in WANTED.items()
]
# The weather at departure is itself a forecast: the answer is the mean over that many samples.
SAMPLES = 100
FORECAST_ERROR = 0.2  # as a share of its value

Rows = NDArray[np.float32]
Prepare = Callable[[Sequence[Any]], Rows]
"""Flights to the rows of a model: `Model.prepare`."""

# Another number for another preparation, or for a model with other codes: what the old one has
# made is not found any more.
PREPARATION = 1

_changes = changes(SAMPLES, FORECAST_ERROR)
_VERSION = struct.Struct("<I")
_FLIGHT = struct.Struct("<2s3s3sBHfI")


class Dossier(TypedDict):
    """What the warehouse knows of a flight: its row, and one row for each report."""

    version: int
    flight: dict[str, Any]
    reports: list[dict[str, Any]]


class NoWeather(ValueError):
    """No report of the dossier can be used."""


def features_of(dossier: Dossier) -> dict[str, Any]:
    """The flight as the model was trained to see it, with the newest report that can be used.

    Stations send nonsense now and then (one of these a wind of 1,048 mph), and reports with gaps.
    Raises NoWeather where none is left.
    """
    usable = [report for report in dossier["reports"] if _usable(report)]
    if not usable:
        raise NoWeather(f"None of {len(dossier['reports'])} reports can be used.")
    newest = usable[-1]
    return dossier["flight"] | {name: newest[stored] for stored, name in WANTED.items()}


def _usable(report: Mapping[str, Any]) -> bool:
    return all(
        (value := report[stored]) is not None and low <= value <= high
        for stored, low, high in LIMITS
    )


def of_model(row: Rows) -> Rows:
    """What the model is asked about one flight: it once for each weather it may meet."""
    return sampled(row, _changes)


def row_of(dossier: Dossier, prepare: Prepare) -> Rows:
    """The dossier as one row of numbers. Raises NoWeather."""
    return prepare([features_of(dossier)])


# --- entries: a version, then the dossier at one of its stages ------------------------------------

ENCODE: dict[str, Callable[[Dossier, Prepare], bytes]] = {
    "rows": lambda dossier, prepare: orjson.dumps(dossier),
    "packed": lambda dossier, prepare: pack(dossier),
    "features": lambda dossier, prepare: row_of(dossier, prepare).tobytes(),
    "tensor": lambda dossier, prepare: of_model(row_of(dossier, prepare)).tobytes(),
}
READ: dict[str, Callable[[bytes], Dossier]] = {"rows": orjson.loads, "packed": lambda e: unpack(e)}
DECODE: dict[str, Callable[[bytes, Prepare], Rows]] = {
    "rows": lambda entry, prepare: of_model(row_of(orjson.loads(entry), prepare)),
    "packed": lambda entry, prepare: of_model(row_of(unpack(entry), prepare)),
    "features": lambda entry, prepare: of_model(numbers_of(entry)),
    "tensor": lambda entry, prepare: numbers_of(entry),
}


def encode(form: str, dossier: Dossier, prepare: Prepare) -> bytes:
    """The entry that is kept. Raises NoWeather, and KeyError for a form that there is not."""
    return _VERSION.pack(dossier["version"]) + ENCODE[form](dossier, prepare)


def decode(form: str, entry: bytes, prepare: Prepare) -> tuple[int, Rows]:
    """An entry's version, and the rows that the model reads."""
    return _VERSION.unpack_from(entry)[0], DECODE[form](entry[_VERSION.size :], prepare)


def key_of(form: str, policy: str, flight: int | str) -> str:
    """The name of an entry; the flight `*` stands for all.

    Whatever makes another entry of the same flight is part of its name.
    """
    return f"{form}-{PREPARATION}:{policy}:{flight}"


def numbers_of(entry: bytes) -> Rows:
    """Rows as they were in memory."""
    return np.frombuffer(entry, dtype=np.float32).reshape(-1, len(FEATURES))


def pack(dossier: Dossier) -> bytes:
    """The same rows as numbers of a fixed length, without the columns' names."""
    flight = dossier["flight"]
    codes = [flight[name].encode() for name in ("carrier", "origin", "destination")]
    plain = [flight[name] for name in ("weekday", "departs", "distance")]
    hours = [_hour(report["hour"]) for report in dossier["reports"]]
    values = [[report[name] for name in NUMBERS] for report in dossier["reports"]]
    return b"".join(
        (
            _FLIGHT.pack(*codes, *plain, _hour(flight["briefed"])),
            np.array(hours, dtype=np.uint32).tobytes(),
            np.array(values, dtype=np.float32).tobytes(),  # None becomes nan
        )
    )


def unpack(entry: bytes) -> Dossier:
    """What was packed; a gap is nan then, which is inside no limits."""
    *codes, weekday, departs, distance, briefed = _FLIGHT.unpack_from(entry)
    flight = dict(
        zip(("carrier", "origin", "destination"), (c.decode() for c in codes), strict=True)
    )
    count = (len(entry) - _FLIGHT.size) // (4 + 4 * len(NUMBERS))
    hours = np.frombuffer(entry, np.uint32, count, _FLIGHT.size).tolist()
    values = np.frombuffer(entry, np.float32, -1, _FLIGHT.size + 4 * count)
    reports = [
        {"hour": hour, **dict(zip(NUMBERS, report, strict=True))}
        for hour, report in zip(hours, values.reshape(count, -1).tolist(), strict=True)
    ]
    plain = {"weekday": weekday, "departs": departs, "distance": distance, "briefed": briefed}
    return {"version": 0, "flight": flight | plain, "reports": reports}


def _hour(at: datetime) -> int:
    return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp()) // 3600
