"""From a flight to the rows that a model reads, and the contract that those rows keep."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lab_services.models import features, store
from lab_services.models.features import FEATURES, SCHEMA, Flight
from lab_services.services import settings
from lab_services.services.predictor import Rows

# How far a forecast drifts in an hour, as a share of its value.
HOURLY_ERROR = 0.03
# Requests hold miles, °F, mph and inches. What a model may want instead: times, and plus.
UNITS = {
    "km": (1.609344, 0.0),
    "°C": (5 / 9, -160 / 9),
    "km/h": (1.609344, 0.0),
    "mm in the hour": (25.4, 0.0),
}
_SKY = [FEATURES.index(name) for name in ("temperature", "humidity", "wind", "rain")]
_LIMITS = [SCHEMA["properties"][FEATURES[at]] for at in _SKY]
_LOW = np.array([limit["minimum"] for limit in _LIMITS], dtype=np.float32)
_HIGH = np.array([limit["maximum"] for limit in _LIMITS], dtype=np.float32)


def contract(card: Mapping[str, Any]) -> str:
    """What rows must keep to suit the model of this card: columns, their order, units and codes.

    It is computed, not a version that somebody must remember to raise.
    """
    agreed = [[[name, about.get("unit")] for name, about in card["features"].items()]]
    return hashlib.sha256(json.dumps([*agreed, card["codes"]]).encode()).hexdigest()[:12]


class Preparation:
    """The preparation for one model, of which it reads the card and nothing else."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def load(self) -> None:
        """Get ready for the model that PREPARES_FOR names. Raises what `load_for` does."""
        self.load_for(Path(settings.text("PREPARES_FOR")))

    def load_for(self, model: Path) -> None:
        """Get ready for the model in this file. Raises ModelMissing or ModelDamaged."""
        card = store.card_of(model)
        self.contract = contract(card)
        self._codes = features.Codes(**card["codes"])
        units = [UNITS.get(about.get("unit"), (1.0, 0.0)) for about in card["features"].values()]
        self._factor, self._offset = np.array(units, dtype=np.float32).T

    def rows(self, flight: Flight, samples: int, hours: int) -> Rows:
        """A row for each weather that may have come of the forecast, `hours` hours on."""
        rows = np.repeat(features.prepare([flight], self._codes), samples, axis=0)
        sky = rows[:, _SKY]
        for _ in range(hours):
            drift = self._random.standard_normal(sky.shape, dtype=np.float32)
            sky *= 1 + HOURLY_ERROR * drift
            np.clip(sky, _LOW, _HIGH, out=sky)
        rows[:, _SKY] = sky
        wanted: Rows = rows * self._factor + self._offset
        return wanted
