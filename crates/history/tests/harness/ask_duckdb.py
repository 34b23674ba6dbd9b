"""Asks a lake in place, as any DuckDB would. Arguments: the lake's folder, `read` or `write`, SQL statements.
Prints one JSON array of rows for each statement; every value as text or null, all of one transaction."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../../scenarios/clients"))
from duckdb_lake import attach  # noqa: E402


def main():
    folder, mode, *statements = sys.argv[1:]
    connection = attach(folder, read_only=mode == "read")
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
