"""Four ways to send rows from one half to the other."""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import msgspec
import numpy as np
import orjson

from lab_services.models.features import FEATURES
from lab_services.services.predictor import Rows

Encoding = Literal["records", "rows", "msgpack", "tensor"]
NAMES: tuple[Encoding, ...] = get_args(Encoding)


class Wire(NamedTuple):
    """From rows to the body of a request, and back. `decode` raises ValueError for other bodies."""

    encode: Callable[[Rows], bytes]
    decode: Callable[[bytes], Rows]


def _records(rows: Rows) -> bytes:
    return orjson.dumps([dict(zip(FEATURES, row, strict=True)) for row in rows.tolist()])


def _from_records(body: bytes) -> Rows:
    return _table([[record[name] for name in FEATURES] for record in orjson.loads(body)])


def _table(rows: list[list[float]]) -> Rows:
    return np.array(rows, dtype=np.float32).reshape(-1, len(FEATURES))


WIRES: dict[Encoding, Wire] = {
    # JSON, each number under its name: what a first version of such a hop looks like.
    "records": Wire(_records, _from_records),
    # JSON, numbers alone.
    "rows": Wire(
        lambda rows: orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY),
        lambda body: _table(orjson.loads(body)),
    ),
    # The same lists in a binary encoding.
    "msgpack": Wire(
        lambda rows: msgspec.msgpack.encode(rows.tolist()),
        lambda body: _table(msgspec.msgpack.decode(body)),
    ),
    # The numbers as they lie in memory: 32 bits each, little-endian.
    "tensor": Wire(
        lambda rows: rows.astype("<f4", copy=False).tobytes(),
        lambda body: np.frombuffer(body, dtype="<f4").reshape(-1, len(FEATURES)),
    ),
}
