"""Opens a lake in place with DuckDB, as any other program would, and prints the rows of a query as JSON.

    duckdb_lake.py LAKE SQL

Files in an object store are read there: S3_ENDPOINT (host:port), S3_KEY and S3_SECRET of the environment say how.
"""

import glob
import importlib.util
import json
import os
import sys

import duckdb


def extension(name):
    """The file of an extension that came as a Python package: nothing is fetched."""
    package = importlib.util.find_spec("duckdb_extension_" + name)
    if package is None:
        sys.exit(f"the Python package duckdb-extension-{name} is missing: run scripts/test-python")
    return glob.glob(os.path.join(os.path.dirname(package.origin), "extensions", "*", "*.duckdb_extension"))[0]


def attach(lake, read_only=True):
    """A connection in which the lake is the database `lake`, and the one in use."""
    database = duckdb.connect(config={"autoinstall_known_extensions": False})
    for name in ["sqlite_scanner", "ducklake"]:
        database.execute(f"LOAD '{extension(name)}'")
    if "S3_ENDPOINT" in os.environ:
        database.execute(f"LOAD '{extension('httpfs')}'")
        endpoint, key, secret = (os.environ["S3_" + name] for name in ["ENDPOINT", "KEY", "SECRET"])
        database.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', ENDPOINT '{endpoint}', "
            "REGION 'us-east-1', URL_STYLE 'path', USE_SSL false)"
        )
    options = f"DATA_PATH '{lake}/data/'" + (", READ_ONLY" if read_only else "")
    database.execute(f"ATTACH 'ducklake:sqlite:{lake}/catalog.sqlite' AS lake ({options})")
    database.execute("USE lake")
    database.execute("SET TimeZone = 'UTC'")
    return database


if __name__ == "__main__":
    lake, sql = sys.argv[1:]
    print(json.dumps([list(row) for row in attach(lake).execute(sql).fetchall()]))
