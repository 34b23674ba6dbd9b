"""DuckDB on the rows of a lake: copied into a file of its own, sorted like the lake, and on the lake in place.

peer.py copy LAKE FILE      the file's bytes a row
peer.py reads LAKE FILE     routes of one driver's hour and the average speed by driver and hour, warm, in process,
                              fully fetched: from the file, and from the lake with a catalogue that is open already
"""

import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../scenarios/clients"))
from duckdb_lake import attach  # noqa: E402

MODE, LAKE, FILE = sys.argv[1:]
ROUTES, AVERAGES = 500, 15
ROUTE = """SELECT event_time, latitude, longitude, speed_kmh, heading_deg FROM {table} WHERE kind = 'driver' AND id = $1
    AND event_time >= $2::TIMESTAMPTZ AND event_time < $2::TIMESTAMPTZ + INTERVAL 1 HOUR ORDER BY event_time"""
AVERAGE = """SELECT id, time_bucket(INTERVAL 1 HOUR, event_time) AS hour, avg(speed_kmh) FROM {table}
    WHERE event_time >= '2026-01-05 00:00:00+00' AND event_time < '2026-01-06 00:00:00+00' GROUP BY 1, 2"""


def copy():
    if os.path.exists(FILE):
        os.remove(FILE)
    connection = attach(LAKE)
    connection.execute(f"ATTACH '{FILE}' AS own")
    # What the comparison is about: numbers as DuckDB's users store them, without the columns that only Drover has.
    connection.execute("""CREATE TABLE own.reports AS SELECT kind, id, event_time, order_id, latitude::DOUBLE AS latitude,
        longitude::DOUBLE AS longitude, speed_kmh::FLOAT AS speed_kmh, heading_deg::FLOAT AS heading_deg,
        accuracy_m::FLOAT AS accuracy_m FROM lake.reports ORDER BY id, event_time""")
    connection.execute("CHECKPOINT own")
    rows = connection.execute("SELECT count(*) FROM own.reports").fetchone()[0]
    print(f"rows={rows}\nbytes_per_row={os.path.getsize(FILE) / rows:.3f}")


def timed(name, count, ask):
    times = []
    for at in range(count + 5):
        began = time.perf_counter()
        ask()
        if at >= 5:
            times.append((time.perf_counter() - began) * 1e3)
    times.sort()
    for share in (50, 99):
        print(f"{name}_p{share}_ms={times[round((len(times) - 1) * share / 100)]:.3f}")


def reads():
    connection = attach(LAKE)
    connection.execute(f"ATTACH '{FILE}' AS own (READ_ONLY)")
    shifts = connection.execute("SELECT id, epoch(min(event_time)) FROM own.reports GROUP BY 1 ORDER BY 1").fetchall()
    dice = random.Random(9)

    def route(table):
        driver, first = shifts[dice.randrange(len(shifts))]
        start = first + dice.randrange(7 * 3600)
        moment = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(start))
        rows = connection.execute(ROUTE.format(table=table), [driver, moment]).fetchnumpy()
        assert len(rows["event_time"]) > 600, rows

    for name, table, routes in (("file", "own.reports", ROUTES), ("lake", "lake.reports", ROUTES // 10)):
        timed(f"{name}_route", routes, lambda: route(table))
        timed(f"{name}_average", AVERAGES, lambda: connection.execute(AVERAGE.format(table=table)).fetchnumpy())


{"copy": copy, "reads": reads}[MODE]()
