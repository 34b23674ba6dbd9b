"""Compares two lakes row by row with DuckDB, and prints how many rows each has that the other lacks.

    duckdb_difference.py LAKE LAKE

Receive time and log position say how a row came in, not what it says; they are not compared.
"""

import json
import sys

from duckdb_lake import attach

first, second = sys.argv[1:]
lake = attach(first)
lake.execute(f"ATTACH 'ducklake:sqlite:{second}/catalog.sqlite' AS other (DATA_PATH '{second}/data/', READ_ONLY)")
columns = "* EXCLUDE (receive_time, position)"


def rows(sql):
    return lake.execute(sql).fetchone()[0]


print(
    json.dumps(
        {
            "rows": rows("SELECT count(*) FROM lake.reports"),
            "only_in_first": rows(
                f"SELECT count(*) FROM (SELECT {columns} FROM lake.reports EXCEPT ALL SELECT {columns} FROM other.reports)"
            ),
            "only_in_second": rows(
                f"SELECT count(*) FROM (SELECT {columns} FROM other.reports EXCEPT ALL SELECT {columns} FROM lake.reports)"
            ),
        }
    )
)
