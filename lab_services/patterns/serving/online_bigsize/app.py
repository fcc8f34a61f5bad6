"""Online bigsize: whatever model scores best answers while the caller waits."""

from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Forecast, Model, create_app

model = Model()
app = create_app("online-bigsize", model)
forecasts = Forecasts(model)


@app.post("/predict")
async def predict(flight: Flight) -> Forecast:
    """Will this flight arrive more than 15 minutes late? The answer takes as long as the model."""
    (forecast,) = forecasts([flight])
    return forecast
