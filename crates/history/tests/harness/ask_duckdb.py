"""Asks a lake in place, as any DuckDB would. Arguments: the lake's folder, `read` or `write`, SQL statements.
Prints one JSON array of rows for each statement; every value as text or null, all of one transaction."""

import glob
import importlib.util
import json
import os
import sys

import duckdb


def connect():
    connection = duckdb.connect()
    for name in ("sqlite_scanner", "ducklake"):
        package = importlib.util.find_spec("duckdb_extension_" + name)
        if package is None:
            sys.exit(f"the Python package duckdb-extension-{name} is missing: run scripts/test-python")
        pattern = os.path.join(os.path.dirname(package.origin), "extensions", "*", "*.duckdb_extension")
        connection.execute(f"LOAD '{glob.glob(pattern)[0]}'")
    return connection


def main():
    folder, mode, *statements = sys.argv[1:]
    connection = connect()
    options = f"DATA_PATH '{folder}/data/'" + (", READ_ONLY" if mode == "read" else "")
    connection.execute(f"ATTACH 'ducklake:sqlite:{folder}/catalog.sqlite' AS lake ({options})")
    connection.execute("USE lake")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("BEGIN")
    for statement in statements:
        cursor = connection.execute(statement)
        names = [column[0] for column in cursor.description or []]
        if statement.startswith("SELECT"):
            texts = ", ".join(f'"{name}"::VARCHAR' for name in names)
            cursor = connection.execute(f"SELECT {texts} FROM ({statement})")
        print(json.dumps(cursor.fetchall() if statement.startswith("SELECT") else []), flush=True)
    connection.execute("COMMIT")


main()
