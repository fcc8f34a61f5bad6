"""The second half: takes rows of numbers, asks the model."""

from typing import Annotated

from fastapi import Header, HTTPException, Request, Response

from lab_services.patterns.serving.prep_pred.preparing import contract
from lab_services.patterns.serving.prep_pred.wire import WIRES, Encoding
from lab_services.services import settings
from lab_services.services.cpu_throttle import CpuThrottle
from lab_services.services.predictor import Forecast, Model, Rows, create_app

LATE_ABOVE = settings.late_above()

model, throttle = Model(), CpuThrottle()
app = create_app("prediction", model)


@app.post("/predict")
async def predict(
    request: Request,
    response: Response,
    x_encoding: Annotated[Encoding, Header()],
    x_contract: Annotated[str | None, Header()] = None,
) -> Forecast:
    """What the model says of these rows, on the mean."""
    wanted = contract(model.card)
    # The handshake: rows that were made for another model are refused, not predicted.
    if x_contract not in (None, wanted):
        raise HTTPException(
            409, f"Rows keep {x_contract}, the model wants {wanted}.", {"x-contract": wanted}
        )
    response.headers["x-contract"] = wanted
    async with throttle:
        try:
            rows = WIRES[x_encoding].decode(await request.body())
        except (ValueError, KeyError) as error:
            raise HTTPException(422, f"No rows in {x_encoding}: {error}") from error
        return forecast(model, rows)


def forecast(model: Model, rows: Rows) -> Forecast:
    """The mean of what the model says of each row."""
    probability = round(float(model.predict(rows).mean()), 6)
    return {"probability": probability, "late": probability > LATE_ABOVE}
