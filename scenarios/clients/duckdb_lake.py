"""Opens a lake in place with DuckDB, as any other program would, and prints the rows of a query as JSON.

    duckdb_lake.py LAKE SQL
"""

import glob
import importlib.util
import json
import os
import sys

import duckdb


def extension(name):
    """The file of an extension that came as a Python package: nothing is fetched."""
    package = os.path.dirname(importlib.util.find_spec("duckdb_extension_" + name).origin)
    return glob.glob(os.path.join(package, "extensions", "*", "*.duckdb_extension"))[0]


lake, sql = sys.argv[1:]
database = duckdb.connect(config={"autoinstall_known_extensions": False})
for name in ["sqlite_scanner", "ducklake"]:
    database.execute(f"LOAD '{extension(name)}'")
database.execute(f"ATTACH 'ducklake:sqlite:{lake}/catalog.sqlite' AS lake (DATA_PATH '{lake}/data/', READ_ONLY)")
database.execute("USE lake")
database.execute("SET TimeZone = 'UTC'")
print(json.dumps([list(row) for row in database.execute(sql).fetchall()]))
