"""Web single: the API, the preparation and the model are one unit, deployed together."""

from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Forecast, Model, create_app, one_at_a_time

model = Model()  # loaded, and its hash checked, before /ready says yes
app = create_app("web-single", model)
# The model has a thread of its own, and the event loop stays free to answer /ready. In the loop a
# probe would wait behind every request that is there, until the proxy gives the replica up.
forecasts = one_at_a_time(Forecasts(model))


@app.post("/predict")
async def predict(flight: Flight) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    (forecast,) = await forecasts([flight])
    return forecast
