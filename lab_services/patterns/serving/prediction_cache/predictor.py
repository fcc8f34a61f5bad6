"""The predictor: one worker, and a queue before it. It says which model has answered.

Weather at departure is itself a forecast: the answer is the mean over as many samples around it as
were asked for, so the same model can have light and heavy work.
"""

from prometheus_client import Counter

from lab_services.patterns.serving.prediction_cache.questions import Answer, Question
from lab_services.services import settings
from lab_services.services.forecasts import changes, sampled
from lab_services.services.predictor import Model, create_app, one_at_a_time

LATE_ABOVE = settings.late_above()
# How far a forecast of the weather is off, as a share of its value.
FORECAST_ERROR = settings.number("FORECAST_ERROR", 0.2, low=0, high=1)

model = Model()
app = create_app("predictor", model)
inferences = Counter("inferences", "Questions that the model has answered", registry=app.registry)


@app.post("/predict")
async def predict(question: Question) -> Answer:
    """Will this flight arrive more than 15 minutes late?"""
    return await answer(question)


@one_at_a_time
def answer(question: Question) -> Answer:
    """The mean over all samples; the same question always has the same answer."""
    inferences.inc()
    samples = changes(question["samples"], FORECAST_ERROR)
    rows = sampled(model.prepare([question["flight"]]), samples)
    probability = round(float(model.predict(rows).mean()), 6)
    version = f"{model.card['name']}-{model.card['sha256'][:8]}"
    return {"probability": probability, "late": probability > LATE_ABOVE, "model": version}
