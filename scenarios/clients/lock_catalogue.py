"""Somebody else's program that holds the catalogue of a lake locked, until its standard input ends.

    lock_catalogue.py LAKE
"""

import sqlite3
import sys

catalogue = sqlite3.connect(f"{sys.argv[1]}/catalog.sqlite", timeout=30, isolation_level=None)
catalogue.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
catalogue.execute("ROLLBACK")
