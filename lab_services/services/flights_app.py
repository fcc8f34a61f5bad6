"""API, preparation and model as one unit: the flights application that several chapters run."""

from lab_services.services.forecasts import Forecasts
from lab_services.services.micro_batching import micro_batched
from lab_services.services.predictor import Flight, Flights, Forecast, Model, create_app

model = Model()
app = create_app("web-single", model)
forecasts = Forecasts(model)
forecast_of = micro_batched(forecasts, app.registry)


@app.post("/predict")
async def predict(flight: Flight) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    return await forecast_of(flight)


@app.post("/predict/batch")
async def predict_batch(flights: Flights) -> list[Forecast]:
    """Will each of these flights arrive more than 15 minutes late?"""
    return await forecasts.in_turns(flights)
