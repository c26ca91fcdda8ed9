"""Reads the quickstart's tables back with pyodps, Alibaba's own Python client.

    pip install pyodps pandas
    longshore local --data .longshore/local > local.env &
    set -a; . ./local.env; set +a
    python read.py

Where to connect stands in ODPS_ENDPOINT, ODPS_PROJECT, ODPS_ACCESS_ID and ODPS_ACCESS_KEY, so the same script reads
from the real service.
"""

import decimal
import os
import sys
import textwrap
import unicodedata

from odps import ODPS, options

# Show moments in UTC, as they were recorded.
options.local_timezone = False

TABLES = ["customers", "flights", "order_items", "orders", "products"]
WIDEST_CELL = 30
FLIGHTS = """\
SELECT   origin, COUNT(*) AS flights, COUNT(DISTINCT dest) AS destinations,
         CAST(AVG(dep_delay) AS DECIMAL(10,1)) AS mean_delay, MAX(distance) AS farthest
FROM     flights
GROUP BY origin
ORDER BY flights DESC
LIMIT    10"""


def connect():
    names = ["ODPS_ACCESS_ID", "ODPS_ACCESS_KEY", "ODPS_PROJECT", "ODPS_ENDPOINT"]
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        sys.exit("not set: %s; `longshore local` prints what to set" % ", ".join(missing))
    access_id, access_key, project, endpoint = (os.environ[name] for name in names)
    return ODPS(access_id, access_key, project, endpoint=endpoint)


def partitions(table):
    """The partitions to read one by one; `None` is a table without any."""
    if not table.table_schema.partitions:
        return [None]
    return [partition.name for partition in table.partitions]


def row_count(table):
    total = 0
    for partition in partitions(table):
        with table.open_reader(partition=partition) as reader:
            total += reader.count
    return total


def width(text):
    """Columns of a terminal: East Asian characters and emoji take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) or unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2 if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def cell(value):
    text = "NULL" if value is None else str(value)
    if width(text) <= WIDEST_CELL:
        return text
    while width(text) >= WIDEST_CELL:
        text = text[:-1]
    return text + "…"


def show(title, heading, rows):
    """Prints a table, numbers aligned to the right."""
    numeric = [
        all(isinstance(value, (int, float, decimal.Decimal)) for value in column if value is not None)
        for column in zip(*rows)
    ] or [False] * len(heading)
    lines = [list(heading)] + [[cell(value) for value in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*lines)]
    print("\n%s\n" % title)
    for line in lines:
        cells = []
        for text, whole, right in zip(line, widths, numeric):
            space = " " * (whole - width(text))
            cells.append(space + text if right else text + space)
        print("  " + "  ".join(cells).rstrip())


def main():
    sys.stdout.reconfigure(encoding="utf-8")
    odps = connect()

    tables = [odps.get_table(name) for name in TABLES if odps.exist_table(name)]
    if not tables:
        sys.exit("project %s has none of the quickstart's tables; `longshore run` them first" % odps.project)
    show(
        "Tables, counted through the tunnel",
        ["table", "primary key", "rows"],
        [[table.name, ", ".join(table.primary_key or []) or "-", row_count(table)] for table in tables],
    )
    for table in tables:
        if table.name == "customers":
            show_customers(table)
        elif table.name == "flights":
            show_flights(odps)


def show_customers(table):
    """Each row stands once, as the last change left it, and deleted ones are gone."""
    names = ["id", "name", "city", "born", "credit", "created_at"]
    with table.open_reader(columns=names) as reader:
        records = sorted(reader, key=lambda record: record["id"])
    show(
        "Delta table `customers` after all inserts, updates and deletes, first rows by key",
        names,
        [[record[name] for name in names] for record in records[:8]],
    )


def show_flights(odps):
    # The service reads all partitions of a table only when it is told that this is meant.
    instance = odps.execute_sql(FLIGHTS, hints={"odps.sql.allow.fullscan": "true"})
    with instance.open_reader(tunnel=True) as reader:
        show(
            "Append table `flights` through SQL:\n\n" + textwrap.indent(FLIGHTS, "  "),
            [column.name for column in reader.schema.columns],
            [record.values for record in reader],
        )


if __name__ == "__main__":
    main()
