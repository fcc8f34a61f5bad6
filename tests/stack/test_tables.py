"""Rows that go into a database, and come back."""

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg.rows import dict_row

from lab_services.stack import tables


@pytest.fixture
def database(postgres_server):
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS flights")
        connection.execute(
            "CREATE TABLE flights (id int PRIMARY KEY, carrier text, rain float, late boolean,"
            " seen timestamptz)"
        )
        yield connection


FLIGHTS = pd.DataFrame(
    {
        "late": [True, False],
        "id": [1, 2],
        "carrier": ['a "quoted", carrier', "9E"],
        "rain": [0.25, np.nan],
        "seen": pd.to_datetime(["2013-01-01 05:00", "2013-07-01 06:30"], utc=True),
    }
)


def test_rows_come_back_as_they_went_in(database):
    """Columns in the order of the table and not of the rows; a comma that ends a field."""
    tables.append(database, "flights", FLIGHTS)
    found = tables.read(database, "SELECT late, id, carrier, rain, seen FROM flights ORDER BY id")
    assert found.columns.tolist() == FLIGHTS.columns.tolist()
    assert found["carrier"].tolist() == FLIGHTS["carrier"].tolist()
    assert found["rain"].tolist()[0] == 0.25 and np.isnan(found["rain"].tolist()[1])
    assert found["late"].tolist() == [True, False]
    assert (pd.to_datetime(found["seen"], utc=True) == FLIGHTS["seen"]).all()


def test_what_is_empty_is_null(database):
    """A number that nobody measured and that counts as one."""
    tables.append(database, "flights", FLIGHTS)
    (found,) = tables.read(database, "SELECT id FROM flights WHERE rain IS NULL")["id"]
    assert found == 2


def test_what_is_empty_is_null_in_a_single_column(database):
    """A delivery of one column that is refused, or an empty text in the place of nothing."""
    database.execute("DROP TABLE IF EXISTS rain")
    database.execute("CREATE TABLE rain (mm float)")
    tables.append(database, "rain", pd.DataFrame({"mm": [0.25, np.nan, 0.5]}))
    assert tables.read(database, "SELECT mm FROM rain")["mm"].isna().tolist() == [
        False,
        True,
        False,
    ]


def test_a_column_may_have_any_name(database):
    """A word of SQL as the name of a column, or capitals in it."""
    database.execute('DROP TABLE IF EXISTS "Orders"')
    database.execute('CREATE TABLE "Orders" ("order" int, "At noon" int)')
    rows = pd.DataFrame({"order": [1], "At noon": [2]})
    tables.append(database, "Orders", rows)
    assert tables.read(database, 'SELECT * FROM "Orders"').equals(rows)


def test_rows_go_in_together_or_not_at_all(database):
    """Half of a delivery, where one of its rows is refused."""
    twice = pd.concat([FLIGHTS.assign(id=[3, 4]), FLIGHTS.assign(id=[4, 5])])
    with pytest.raises(psycopg.Error, match="flights_pkey"):
        tables.append(database, "flights", twice)
    assert tables.read(database, "SELECT * FROM flights").empty


def test_a_query_that_finds_nothing_has_its_columns(database):
    """A traceback at the first column, where a run has left no row."""
    found = tables.read(database, "SELECT id, rain FROM flights WHERE id = %s", [7])
    assert found.empty and found.columns.tolist() == ["id", "rain"]


def test_rows_may_come_as_mappings(postgres_server, database):
    """Names in the place of values, on a connection that is made for a service."""
    tables.append(database, "flights", FLIGHTS)
    with psycopg.connect(postgres_server, row_factory=dict_row) as other:
        found = tables.read(other, "SELECT id, carrier FROM flights WHERE id = %(id)s", {"id": 2})
    assert found.to_dict("records") == [{"id": 2, "carrier": "9E"}]
