"""What the chain and its stages say to one another: the same form for all three."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from lab_services.models.features import Flight

STAGES = ("screen", "forecast", "advice")

Chance = Annotated[float, Field(ge=0, le=1)]


class Asked(TypedDict):
    """A flight, over how many samples to average, and the chance that the stage before found."""

    flight: Flight
    samples: Annotated[int, Field(ge=1, le=100_000)]
    probability: NotRequired[Chance]


class Answer(TypedDict):
    """The chance to arrive late, the departure it is for, and the seconds of work it took."""

    probability: Chance
    departs: int
    seconds: float
