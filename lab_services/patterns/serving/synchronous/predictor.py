"""The predictor: it answers for a whole board of flights, and the more flights the longer it takes.

It has one worker and a queue before it, as most model servers have. What has been taken in is
worked off, also when whoever asked has left.
"""

from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flights, Forecast, Model, create_app, one_at_a_time

model = Model()
app = create_app("predictor of boards", model)
forecasts = one_at_a_time(Forecasts(model))


@app.post("/predict/board")
async def predict(flights: Flights) -> list[Forecast]:
    """Will each of these flights arrive more than 15 minutes late?"""
    return await forecasts(flights)
