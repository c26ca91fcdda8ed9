"""The flights of February as rows of rows.json's form: `flights.py FLIGHTS.parquet`."""

import json
import sys

import pyarrow.parquet

table = pyarrow.parquet.read_table(sys.argv[1], filters=[("month", "=", 2)]).drop_columns(["month"])


def encode(value):
    if value is None:
        return None
    return value.strftime("%Y-%m-%dT%H:%M:%S.000000000Z") if hasattr(value, "strftime") else str(value)


types = {"string": "string", "timestamp[us, tz=UTC]": "timestamp"}
columns = [[field.name, types.get(str(field.type), "bigint")] for field in table.schema]
rows = zip(*(map(encode, column.to_pylist()) for column in table.columns))
json.dump({"columns": columns, "rows": list(rows)}, sys.stdout)
