"""Web single: the API, the preparation and the model are one unit, deployed together."""

from lab_services.services import settings
from lab_services.services.predictor import Flight, Flights, Forecast, Model, create_app

# What a patch changes: above this probability a flight is called late.
LATE_ABOVE = settings.number("LATE_ABOVE", 0.3, low=0, high=1)

model = Model()
app = create_app("web-single", model)


@app.post("/predict")
async def predict(flight: Flight) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    rows = model.prepare([flight])
    (probability,) = await model.predict(rows)
    return forecast(probability)


@app.post("/predict/batch")
async def predict_batch(flights: Flights) -> list[Forecast]:
    """The same for many flights at once, answered in their order."""
    rows = model.prepare(flights)
    return [forecast(probability) for probability in await model.predict(rows)]


def forecast(probability: float) -> Forecast:
    return {"probability": probability, "late": probability > LATE_ABOVE}
