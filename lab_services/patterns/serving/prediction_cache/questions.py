"""What is asked and what is answered, and the key under which an answer is kept."""

import hashlib
from typing import Annotated

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from lab_services.services.predictor import Flight


class Question(TypedDict):
    """A flight, and how thorough the answer shall be."""

    flight: Flight
    samples: Annotated[
        int,
        Field(ge=1, le=200_000, examples=[8000], description="Samples around the forecast"),
    ]


class Answer(TypedDict):
    """The forecast, and which model says so."""

    probability: Annotated[float, Field(ge=0, le=1, examples=[0.4127])]
    late: bool
    model: Annotated[str, Field(examples=["good-c1d80e47"])]


def key(door: str, question: Question, version: str = "") -> str:
    """All that the answer depends on, written in one way only; `door` keeps the doors apart.

    >>> key("first", {"samples": 1, "flight": one}) == key("first", {"flight": one, "samples": 1})
    True
    """
    written = orjson.dumps(question, option=orjson.OPT_SORT_KEYS)
    return f"{door}:{version}:{hashlib.sha256(written).hexdigest()[:32]}"
