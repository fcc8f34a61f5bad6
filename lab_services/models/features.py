"""What a model is told about a flight, and how that becomes a row of numbers.

Everything here is known before the flight departs: its schedule, and the weather last observed at
its airport before the hour of departure. The month is left out on purpose: the models serve months
that they have not seen.

A service imports this module, so it needs NumPy and pydantic only.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, Field, TypeAdapter

# pydantic asks for this one before Python 3.12.
from typing_extensions import TypedDict


def _quantity(unit: str, low: float, high: float, example: float, description: str) -> Any:
    return Field(
        ge=low,
        le=high,
        examples=[example],
        description=f"{description} ({unit})",
        json_schema_extra={"unit": unit},
    )


class Flight(TypedDict):
    """One flight before its departure: what a request must hold, with units and limits."""

    __pydantic_config__ = ConfigDict(  # type: ignore[misc]
        extra="forbid", strict=True, allow_inf_nan=False
    )

    carrier: Annotated[
        str,
        Field(
            pattern="^[0-9A-Z]{2}$", examples=["B6"], description="Airline, two-letter IATA code"
        ),
    ]
    origin: Annotated[
        Literal["EWR", "JFK", "LGA"],
        Field(examples=["JFK"], description="Airport of departure, IATA code"),
    ]
    destination: Annotated[
        str,
        Field(pattern="^[A-Z]{3}$", examples=["BOS"], description="Airport of arrival, IATA code"),
    ]
    weekday: Annotated[int, _quantity("Monday is 1", 1, 7, 5, "Day of departure")]
    departs: Annotated[
        int, _quantity("minutes after local midnight", 0, 1439, 1065, "Scheduled departure")
    ]
    distance: Annotated[float, _quantity("miles", 1, 6000, 187, "Length of the flight")]
    temperature: Annotated[float, _quantity("°F", -60, 130, 61.0, "Air temperature at the origin")]
    humidity: Annotated[float, _quantity("%", 0, 100, 93.2, "Relative humidity at the origin")]
    wind: Annotated[float, _quantity("mph", 0, 150, 18.4, "Wind speed at the origin")]
    rain: Annotated[float, _quantity("inches in the hour", 0, 10, 0.1, "Rain at the origin")]
    visibility: Annotated[float, _quantity("miles", 0, 10, 3.0, "Visibility at the origin")]


SCHEMA: dict[str, Any] = TypeAdapter(Flight).json_schema()
FEATURES: tuple[str, ...] = tuple(SCHEMA["properties"])
CODED = ("carrier", "origin", "destination")
EXAMPLE: dict[str, Any] = {name: SCHEMA["properties"][name]["examples"][0] for name in FEATURES}


class Codes(NamedTuple):
    """The number that stands for each carrier, origin and destination.

    It is the share of late arrivals in the training months, drawn towards the share of all flights
    where there were few. A code that the training months did not hold gets the share of all.
    """

    overall: float
    carrier: Mapping[str, float]
    origin: Mapping[str, float]
    destination: Mapping[str, float]

    @classmethod
    def learn(
        cls, columns: Mapping[str, NDArray[Any]], late: NDArray[np.bool_], weight: float = 100.0
    ) -> Self:
        """Count late arrivals for each code; `weight` is in flights of the overall share."""
        overall = float(late.mean())
        tables = []
        for name in CODED:
            values, place = np.unique(columns[name], return_inverse=True)
            lates = np.bincount(place, weights=late)
            shares = (lates + weight * overall) / (np.bincount(place) + weight)
            tables.append(
                {
                    str(value): round(float(share), 6)
                    for value, share in zip(values, shares, strict=True)
                }
            )
        return cls(round(overall, 6), *tables)


def prepare(flights: Sequence[Mapping[str, Any]], codes: Codes) -> NDArray[np.float32]:
    """Turn flights into the rows that a model reads: shape (flights, 11), in FEATURES' order.

    Raises KeyError for a flight that lacks one of the fields.
    """
    overall, carrier, origin, destination = codes
    return np.array(
        [
            (
                carrier.get(flight["carrier"], overall),
                origin.get(flight["origin"], overall),
                destination.get(flight["destination"], overall),
                flight["weekday"],
                flight["departs"],
                flight["distance"],
                flight["temperature"],
                flight["humidity"],
                flight["wind"],
                flight["rain"],
                flight["visibility"],
            )
            for flight in flights
        ],
        dtype=np.float32,
    ).reshape(-1, len(FEATURES))


def prepare_columns(columns: Mapping[str, ArrayLike], codes: Codes) -> NDArray[np.float32]:
    """The same rows as `prepare` makes, from one array a field: the way a training reads them."""
    rows = []
    for name in FEATURES:
        values = np.asarray(columns[name])
        if name in CODED:
            table: Mapping[str, float] = getattr(codes, name)
            known, place = np.unique(values, return_inverse=True)
            values = np.array([table.get(str(code), codes.overall) for code in known])[place]
        rows.append(values.astype(np.float32))
    return np.column_stack(rows)
