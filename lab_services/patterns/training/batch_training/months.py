"""The flights of 2013 month by month, as another team would deliver them: well, or badly."""

import io
from typing import Any

import pandas as pd
import psycopg

from lab_services.models import flights
from lab_services.models.features import FEATURES

CONDITIONS = ("whole", "separators", "blank", "tenth", "empty")


def year() -> dict[int, pd.DataFrame]:
    """The cleaned flights of each month, in the order of their departure."""
    return {int(str(month)): part for month, part in flights.clean().table.groupby("month")}


def delivery(month: pd.DataFrame, condition: str = "whole") -> pd.DataFrame:
    """A month as texts, in one of the `CONDITIONS`.

    `separators`: the export was set to another country, so 1045 has become "1,045".
    `blank`: the times of arrival are not in yet, so the outcome is empty.
    `tenth`: the export broke off after a tenth. `empty`: it broke off at once.
    Raises ValueError for any other condition.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"{condition!r} is none of {', '.join(CONDITIONS)}.")
    texts = month[[*FEATURES, "late"]].astype(str)
    if condition == "separators":
        for name in ("departs", "distance"):
            texts[name] = [f"{int(value):,}" for value in month[name]]
    elif condition == "blank":
        texts["late"] = ""
    elif condition == "tenth":
        texts = texts.head(len(texts) // 10)
    elif condition == "empty":
        texts = texts.head(0)
    return texts


def deliver(database: psycopg.Connection[Any], month: int, texts: pd.DataFrame) -> None:
    """Put a delivery in the place of what was there for the month."""
    file = io.StringIO()
    texts.assign(month=month, place=range(len(texts))).to_csv(file, index=False, header=False)
    columns = ", ".join((*texts.columns, "month", "place"))
    with database.transaction():
        database.execute("DELETE FROM deliveries WHERE month = %s", [month])
        query = f"COPY deliveries ({columns}) FROM STDIN (FORMAT csv)"
        with database.cursor() as cursor, cursor.copy(query) as copy:
            copy.write(file.getvalue())
