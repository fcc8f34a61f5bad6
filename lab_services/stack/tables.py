"""Tables of a service that is a PostgreSQL server, as data frames."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from psycopg import Connection


def read(
    database: "Connection[Any]",
    query: str,
    values: Sequence[Any] | Mapping[str, Any] | None = None,
) -> "pd.DataFrame":
    """The rows that a query finds, with its columns also where it finds none.

    >>> tables.read(database, "SELECT * FROM runs WHERE night = %s", [3])   # doctest: +SKIP
    """
    import pandas as pd

    cursor = database.execute(query, values)
    names = [column.name for column in cursor.description or ()]
    return pd.DataFrame(cursor.fetchall(), columns=names)


def append(database: "Connection[Any]", name: str, rows: "pd.DataFrame") -> None:
    """Put rows into a table whose columns are called as theirs; what is empty is NULL there, an
    empty text too.

    Raises psycopg.Error, and nothing has been put there, where the table does not take one of them.

    >>> tables.append(database, "flights", flights)                         # doctest: +SKIP
    """
    from psycopg import sql

    columns = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    # Of a single column pandas writes "" for what is empty: in quotes, else the line would be lost.
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, FORCE_NULL ({}))").format(
        sql.Identifier(name), columns, columns
    )
    with database.cursor() as cursor, cursor.copy(query) as copy:
        copy.write(rows.to_csv(index=False, header=False))
