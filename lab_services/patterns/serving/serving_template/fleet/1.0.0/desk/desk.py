"""The rebooking desk. Whom to ask: customer service."""

import logging
import os
from typing import Any

from typing_extensions import TypedDict

from lab_services.services import settings
from lab_services.services.predictor import Flight, Model, create_app

RELEASE = "1.0.0"  # of the template
LATE_ABOVE = 0.5

os.environ["MODEL"] = settings.text("MODELS") + "/good.onnx"
log = logging.getLogger("desk")
model = Model()
app = create_app("desk", model)


class Answer(TypedDict):
    """What callers may rely on."""

    probability: float
    late: bool


@app.get("/metadata")
async def metadata() -> dict[str, Any]:
    """Who answers, with which model, and whom to ask about it."""
    return {
        "service": "desk",
        "owner": "customer service",
        "release": RELEASE,
        "model": model.card["name"],
        "sha256": model.card["sha256"],
    }


@app.post("/predict")
async def predict(flight: Flight) -> Answer:
    """Will this flight arrive more than 15 minutes late?"""
    probability = round(float(model.predict(model.prepare([flight]))[0]), 6)
    late = probability > LATE_ABOVE

    said: dict[str, Any] = {"service": "desk", "release": RELEASE}
    said["probability"] = probability
    log.info("predicted", extra=said)

    return {"probability": probability, "late": late}
