"""Is this month fit to train on? What a delivery must hold before anything is learned from it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from lab_services.errors import LabError
from lab_services.models.features import FEATURES, SCHEMA

# Against the median of the months before: flights and late flights do not halve in a month.
FEWEST = 0.5
LATE = (0.3, 3.0)
_KINDS = {"string": str, "integer": "int64", "number": float}


class MonthRefused(LabError):
    """A delivery must not be trained on; the message says which columns, how many rows, why."""


def check(table: pd.DataFrame, month: int, before: Sequence[tuple[int, int, float]]) -> None:
    """Raises MonthRefused. `before` holds month, rows and share late of accepted months."""
    found = [] if len(table) else ["there is no row"]
    if before and len(table):
        usual = pd.Series([rows for _, rows, _ in before]).median()
        if len(table) < FEWEST * usual:
            found.append(f"{len(table):,} rows, where the months before had {usual:,.0f}")
    try:
        _schema().validate(table, lazy=True)
    except SchemaErrors as errors:
        found += _in_words(errors.failure_cases, table)
    if before and not found:
        share = table["late"].mean() / pd.Series([late for *_, late in before]).median()
        if not LATE[0] <= share <= LATE[1]:
            found.append(f"late flights are {share:.1f} times as frequent as in the months before")
    if found:
        raise MonthRefused(f"2013-{month:02} is refused: {'; '.join(found)}.")


def _schema() -> pa.DataFrameSchema:
    """The types and limits that a request to the predictor must keep, and an outcome."""
    columns = {name: _column(SCHEMA["properties"][name]) for name in FEATURES}
    return pa.DataFrameSchema({**columns, "late": pa.Column(bool)})


def _column(about: dict[str, Any]) -> pa.Column:
    match about:
        case {"minimum": low, "maximum": high, "type": kind}:
            return pa.Column(_KINDS[kind], pa.Check.in_range(low, high), coerce=kind == "number")
        case {"pattern": pattern}:
            return pa.Column(str, pa.Check.str_matches(pattern))
        case _:
            return pa.Column(str, pa.Check.isin(about["enum"]))


def _in_words(failures: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    missing = [name for name in (*FEATURES, "late") if name not in table.columns]
    found = [f"{name} is missing" for name in missing]
    for name in dict.fromkeys(failures["column"].dropna()):
        if name not in table.columns:
            continue
        values = table[name]
        if values.isna().any():
            found.append(f"{name} is empty in {values.isna().sum():,} of {len(table):,} rows")
        elif (texts := values[pd.to_numeric(values, errors="coerce").isna()]).size and (
            name in FEATURES and SCHEMA["properties"][name]["type"] != "string"
        ):
            found.append(
                f"{name} is no number in {len(texts):,} of {len(table):,} rows, "
                f"such as {texts.iloc[0]!r}"
            )
        else:
            bad = failures[failures["column"] == name].iloc[0]
            found.append(f"{name} breaks {bad['check']}, such as {bad['failure_case']!r}")
    return found
