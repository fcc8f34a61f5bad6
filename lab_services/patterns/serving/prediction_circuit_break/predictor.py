"""The predictor of web single, with one worker and a queue before it, as most model servers have.

The event loop stays free: it takes every request in at once and reports "ready" all the while. And
it takes no request out again: the worker answers also those whose caller has long given up.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from lab_services.services.forecasts import Forecasts
from lab_services.services.predictor import Flight, Forecast, Model, create_app

model = Model()
app = create_app("predictor with a queue", model)
forecasts = Forecasts(model)
worker = ThreadPoolExecutor(max_workers=1)


@app.post("/predict")
async def predict(flight: Flight) -> Forecast:
    """Will this flight arrive more than 15 minutes late?"""
    loop = asyncio.get_running_loop()
    (answer,) = await loop.run_in_executor(worker, forecasts, [flight])
    return answer
