"""The predictor of web single, with one worker and a queue before it, as most model servers have.

The event loop stays free: it takes every request in at once and reports "ready" all the while. And
it takes no request out again: the worker answers also those whose caller has long given up.
"""

from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Forecast, Model, create_app, one_at_a_time

model = Model()
app = create_app("predictor with a queue", model)
forecasts = one_at_a_time(Forecasts(model))


@app.post("/predict")
async def predict(flight: Flight) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    (answer,) = await forecasts([flight])
    return answer
