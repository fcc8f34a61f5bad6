"""The flights of 2013 month by month, as another team would deliver them: well, or badly."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from lab_services import python
from lab_services.models import flights, payloads
from lab_services.models.features import CODED, FEATURES
from lab_services.stack.tables import append

CONDITIONS = ("whole", "separators", "blank", "tenth", "empty")


def year(every: int = 1) -> dict[int, pd.DataFrame]:
    """The cleaned flights of each month, in the order of their departure.

    With `every` above 1, only one flight in so many.

    A process of its own reads them: that takes ten times the memory of what comes of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "year.npy")
        program = python.command(__name__, str(path))
        subprocess.run(program, env=python.environment(), check=True)
        packed = np.load(path)[::every]
    table = pd.DataFrame({name: packed[name] for name in packed.dtype.names if name not in CODED})
    for name in CODED:
        codes, place = np.unique(packed[name], return_inverse=True)
        categories = pd.Index([code.decode() for code in codes])
        table[name] = pd.Categorical.from_codes(place, categories)
    return {int(str(month)): part for month, part in table.groupby("month")}


def delivery(month: pd.DataFrame, condition: str = "whole") -> pd.DataFrame:
    """A month as texts, in one of the `CONDITIONS`.

    `separators`: the export was set to another country, so 1045 has become "1,045".
    `blank`: the times of arrival are not in yet, so the outcome is empty.
    `tenth`: the export broke off after a tenth. `empty`: it broke off at once.
    Raises ValueError for any other condition.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"{condition!r} is none of {', '.join(CONDITIONS)}.")
    # Categories hold each text once: a tenth of the memory, and of the kernel's peak.
    columns = month[[*FEATURES, "late"]]
    texts: pd.DataFrame = columns.apply(lambda c: c.astype(str).astype("category"))
    if condition == "separators":
        for name in ("departs", "distance"):
            texts[name] = month[name].map(lambda value: f"{int(value):,}").astype("category")
    elif condition == "blank":
        texts["late"] = ""
    elif condition == "tenth":
        texts = texts.head(len(texts) // 10)
    elif condition == "empty":
        texts = texts.head(0)
    return texts


def deliver(database: psycopg.Connection[Any], month: int, texts: pd.DataFrame) -> None:
    """Put a delivery in the place of what was there for the month."""
    with database.transaction():
        database.execute("DELETE FROM deliveries WHERE month = %s", [month])
        append(database, "deliveries", texts.assign(month=month, place=range(len(texts))))


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(payloads.pack(flights.clean().table))
