"""What makes the good answer dear: many weathers around the forecast, and the mean over them."""

import numpy as np

from lab_services.models.features import FEATURES
from lab_services.services.predictor import Rows

WEATHER = [FEATURES.index(name) for name in ("temperature", "humidity", "wind", "rain")]


def in_all_weathers(rows: Rows, weathers: int, error: float) -> Rows:
    """Each row once for every weather that its forecast, wrong by a share `error`, may become."""
    draws = np.random.default_rng(0).standard_normal((weathers, len(WEATHER)), dtype=np.float32)
    many = np.repeat(rows, weathers, axis=0)
    many[:, WEATHER] *= 1 + np.float32(error) * np.tile(draws, (len(rows), 1))
    return many
