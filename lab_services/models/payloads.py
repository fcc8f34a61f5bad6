"""Real flights that no model has seen, as request bodies, and what became of them.

Reading needs NumPy only, so that sending traffic does not wait for pandas.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab_services.errors import LabError
from lab_services.models import store
from lab_services.models.features import CODED, FEATURES, SCHEMA

_STORED = {"string": "S3", "integer": "i2", "number": "f8"}


def flights(n: int, *, seed: int = 0, months: Sequence[int] = (10, 11, 12)) -> list[dict[str, Any]]:
    """`n` different unseen flights in random order, each a body that a predictor accepts.

    The same arguments give the same flights. Raises LabError when the months hold fewer than `n`,
    ModelMissing or ModelDamaged when the file that `lab models` makes is not there or not whole.
    """
    drawn = _draw(n, seed, months)
    columns = {
        name: [code.decode() for code in drawn[name].tolist()]
        if name in CODED
        else drawn[name].tolist()
        for name in FEATURES
    }
    return [
        dict(zip(FEATURES, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def outcomes(n: int, *, seed: int = 0, months: Sequence[int] = (10, 11, 12)) -> list[bool]:
    """Whether each flight of `flights`, called with the same arguments, arrived late."""
    late: list[bool] = _draw(n, seed, months)["late"].tolist()
    return late


def pack(table: Any) -> bytes:
    """The content of the file that `flights` reads, from a table of cleaned flights."""
    stored = [(name, _STORED[SCHEMA["properties"][name]["type"]]) for name in FEATURES]
    packed = np.empty(len(table), dtype=[*stored, ("month", "i1"), ("late", "?")])
    for name in packed.dtype.names or ():
        packed[name] = table[name].to_numpy()
    file = io.BytesIO()
    np.save(file, packed)
    return file.getvalue()


def _draw(n: int, seed: int, months: Sequence[int]) -> NDArray[Any]:
    path = store.payloads_path()
    store.verify(path)
    unseen = np.load(path)
    among = unseen[np.isin(unseen["month"], months)]
    if n > len(among):
        raise LabError(
            f"{n:,} flights of months {list(months)} are asked for; there are {len(among):,}.",
            "Payloads are flights of October to December, each once. Ask for fewer.",
        )
    return np.asarray(np.random.default_rng(seed).choice(among, n, replace=False))
