"""The warehouse: its tables, how a dossier is read, and what it tells when a row changes."""

from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from lab_services.patterns.serving.data_cache.preparing import NUMBERS, Dossier

CHANNEL = "flights"
HOURS = 48  # a station that was silent for a night still has a report in there

# One row a measured number, and no index: such a store is made for scans, not for look-ups.
# A flight is `briefed` up to an hour, and each report that reaches it makes a new `version`.
SCHEMA = f"""
CREATE TABLE reports (origin text, hour timestamptz, name text, value float4)
    WITH (parallel_workers = 0);
CREATE TABLE flights (id int PRIMARY KEY, carrier text, origin text, destination text,
    weekday int, departs int, distance float, briefed timestamptz, version int);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_notify('{CHANNEL}', NEW.id::text); RETURN NULL; END $$;
CREATE TRIGGER told AFTER UPDATE ON flights FOR EACH ROW EXECUTE FUNCTION tell();
"""

FLIGHT = """SELECT carrier, origin, destination, weekday, departs, distance, briefed, version
    FROM flights WHERE id = %s"""
_COLUMNS = ", ".join(f"max(value) FILTER (WHERE name = '{name}') AS {name}" for name in NUMBERS)
REPORTS = f"""SELECT hour, {_COLUMNS} FROM reports
    WHERE origin = %(origin)s AND hour < %(briefed)s
        AND hour >= %(briefed)s - interval '{HOURS} hours' GROUP BY hour ORDER BY hour"""


async def read(database: AsyncConnection[Any], flight: int) -> Dossier | None:
    """What is known of a flight: its schedule, and the reports from its airport, oldest first."""
    async with database.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(FLIGHT, [flight])
        scheduled: Any = await cursor.fetchone()
        if scheduled is None:
            return None
        await cursor.execute(REPORTS, scheduled)
        reports: Any = await cursor.fetchall()
    return {"version": scheduled.pop("version"), "flight": scheduled, "reports": reports}
