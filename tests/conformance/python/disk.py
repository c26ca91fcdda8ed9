"""Reads tables from the files of a server's data directory: `disk.py FOLDER...`, without any client.

Prints a JSON object: by reader (pandas, DuckDB) and folder a list of rows as canonical text; the files say nothing about
zones, so no moment has a `Z`.
"""

import datetime
import decimal
import json
import sys

import duckdb
import pandas


def encode(value):
    if value is None or value is pandas.NA or value is pandas.NaT:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        moment = pandas.Timestamp(value)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%06d%03d" % (moment.microsecond, moment.nanosecond)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {name: encode(field) for name, field in value.items()}
    # A list, or a map as a list of pairs.
    return [encode(element) for element in value]


def with_pandas(folder):
    return pandas.read_parquet(folder, dtype_backend="pyarrow").to_dict("records")


def with_duckdb(folder):
    files = folder.replace("'", "''") + "/**/*.parquet"
    return duckdb.sql(f"select * from read_parquet('{files}', hive_partitioning = true)").to_arrow_table().to_pylist()


json.dump(
    {
        name: {
            folder: [{column: encode(value) for column, value in row.items()} for row in read(folder)]
            for folder in sys.argv[1:]
        }
        for name, read in [("pandas", with_pandas), ("DuckDB", with_duckdb)]
    },
    sys.stdout,
)
