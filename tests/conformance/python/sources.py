"""Makes files for `longshore run` of the rows every client writes: `sources.py ROWS.json DIRECTORY`.

`types.arrow` carries the types itself, those that Arrow does not tell apart in its fields' metadata; `types.json` are the
same rows as text, for types that are declared.
"""

import base64
import datetime
import decimal
import json
import pathlib
import sys

import pandas
import pyarrow
import pyarrow.ipc

SCALARS = {
    "tinyint": pyarrow.int8(), "smallint": pyarrow.int16(), "int": pyarrow.int32(), "bigint": pyarrow.int64(),
    "boolean": pyarrow.bool_(), "float": pyarrow.float32(), "double": pyarrow.float64(), "string": pyarrow.string(),
    "varchar(20)": pyarrow.string(), "char(4)": pyarrow.string(), "binary": pyarrow.binary(),
    "decimal(18,2)": pyarrow.decimal128(18, 2), "decimal(38,18)": pyarrow.decimal128(38, 18), "date": pyarrow.date32(),
    "datetime": pyarrow.timestamp("ms", "UTC"), "timestamp": pyarrow.timestamp("ns", "UTC"),
    "timestamp_ntz": pyarrow.timestamp("ns"), "array<string>": pyarrow.list_(pyarrow.string()),
    "map<string,bigint>": pyarrow.map_(pyarrow.string(), pyarrow.int64()),
    "struct<city:string,zip:int>": pyarrow.struct([("city", pyarrow.string()), ("zip", pyarrow.int32())]),
}


def of_arrow(value, ty):
    """Canonical text -> what pyarrow takes for the type."""
    if value is None:
        return None
    if pyarrow.types.is_list(ty):
        return [of_arrow(element, ty.value_type) for element in value]
    if pyarrow.types.is_map(ty):
        return [(of_arrow(key, ty.key_type), of_arrow(element, ty.item_type)) for key, element in value]
    if pyarrow.types.is_struct(ty):
        return {field.name: of_arrow(value[field.name], field.type) for field in ty}
    if pyarrow.types.is_integer(ty):
        return int(value)
    if pyarrow.types.is_boolean(ty):
        return value == "true"
    if pyarrow.types.is_floating(ty):
        return float(value)
    if pyarrow.types.is_decimal(ty):
        return decimal.Decimal(value)
    if pyarrow.types.is_binary(ty):
        return bytes.fromhex(value)
    if pyarrow.types.is_date(ty):
        return datetime.date.fromisoformat(value)
    if pyarrow.types.is_timestamp(ty):
        return pandas.Timestamp(value.rstrip("Z"), tz=ty.tz)
    return value


def of_json(value, ty):
    """Canonical text -> the JSON text that stands for it."""
    if value is None:
        return "null"
    if pyarrow.types.is_list(ty):
        return "[%s]" % ",".join(of_json(element, ty.value_type) for element in value)
    if pyarrow.types.is_map(ty):
        return "{%s}" % ",".join(f"{json.dumps(key)}:{of_json(element, ty.item_type)}" for key, element in value)
    if pyarrow.types.is_struct(ty):
        return "{%s}" % ",".join(f"{json.dumps(field.name)}:{of_json(value[field.name], field.type)}" for field in ty)
    if pyarrow.types.is_integer(ty) or pyarrow.types.is_boolean(ty) or pyarrow.types.is_floating(ty):
        return value
    if pyarrow.types.is_binary(ty):
        return json.dumps(base64.b64encode(bytes.fromhex(value)).decode())
    return json.dumps(value, ensure_ascii=False)


def field(name, type_name):
    told_apart_by_arrow = not type_name.startswith(("varchar", "char", "datetime"))
    return pyarrow.field(
        name, SCALARS[type_name], metadata=None if told_apart_by_arrow else {"longshore.type": type_name.upper()}
    )


rows = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
directory = pathlib.Path(sys.argv[2])
schema = pyarrow.schema([field(name, type_name) for name, type_name in rows["columns"]])
columns = [
    pyarrow.array([of_arrow(row[index], ty) for row in rows["rows"]], type=ty)
    for index, ty in enumerate(schema.types)
]
with pyarrow.ipc.new_file(directory / "types.arrow", schema) as file:
    file.write_batch(pyarrow.record_batch(columns, schema=schema))
with open(directory / "types.json", "w", encoding="utf-8") as file:
    for row in rows["rows"]:
        cells = (f"{json.dumps(f.name)}:{of_json(value, f.type)}" for f, value in zip(schema, row))
        file.write("{%s}\n" % ",".join(cells))
