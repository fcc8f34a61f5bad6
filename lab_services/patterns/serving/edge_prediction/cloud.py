"""The server: the better model, in a data centre, at the other end of a network."""

from fastapi import Response

from lab_services.services import settings
from lab_services.services.predictor import Flight, Forecast, Model, create_app

LATE_ABOVE = settings.late_above()

model = Model()
app = create_app("cloud", model)


@app.post("/predict")
async def predict(flight: Flight, response: Response) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    response.headers["x-answered-by"] = "server"
    probability = round(float(model.predict(model.prepare([flight]))[0]), 6)
    return {"probability": probability, "late": probability > LATE_ABOVE}
