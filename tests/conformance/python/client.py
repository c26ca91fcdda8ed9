"""Writes and reads tables with pyodps as its users do.

Requests come as JSON lines `{"environment": {...}, "arguments": [...]}`, so that one process serves many; each is answered
by a line `{"output": "..."}` or `{"error": "..."}`. Rows travel as canonical JSON text (`rows.json` says how), so that what
this client reads can be compared with what the Java SDK wrote, and the other way round.
"""

import argparse
import datetime
import decimal
import json
import sys
import traceback

import pandas
import pyarrow
from odps import ODPS, options
from odps.models import TableSchema
from odps.tunnel import CompressOption, TableTunnel
from odps import types as odps_types

options.sql.use_odps2_extension = True
options.local_timezone = False
options.struct_as_dict = True

UTC = datetime.timezone.utc


def connect(environment):
    return ODPS(
        environment["ODPS_ACCESS_ID"],
        environment["ODPS_ACCESS_KEY"],
        environment["ODPS_PROJECT"],
        endpoint=environment["ODPS_ENDPOINT"],
    )


def compression(name):
    if name == "raw":
        return None
    algorithms = CompressOption.CompressAlgorithm
    return CompressOption(
        {
            "zlib": algorithms.ODPS_ZLIB,
            "zstd": algorithms.ODPS_ZSTD,
            "snappy": algorithms.ODPS_SNAPPY,
            "lz4": algorithms.ODPS_LZ4,
        }[name]
    )


def decode(value, ty):
    """Canonical text -> what pyodps takes for a column of type `ty`."""
    if value is None:
        return None
    name = ty.name
    if isinstance(ty, odps_types.Array):
        return [decode(v, ty.value_type) for v in value]
    if isinstance(ty, odps_types.Map):
        return {decode(k, ty.key_type): decode(v, ty.value_type) for k, v in value}
    if isinstance(ty, odps_types.Struct):
        return {k: decode(value[k], t) for k, t in ty.field_types.items()}
    if name in ("tinyint", "smallint", "int", "bigint"):
        return int(value)
    if name == "boolean":
        return value == "true"
    if name in ("float", "double"):
        return float(value)
    if name.startswith("decimal"):
        return decimal.Decimal(value)
    if name == "binary":
        return bytes.fromhex(value)
    if name == "date":
        return datetime.date.fromisoformat(value)
    if name == "datetime":
        return datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ")
    if name in ("timestamp", "timestamp_ntz"):
        return pandas.Timestamp(value.rstrip("Z"))
    return value


def encode(value, ty):
    """What pyodps read -> canonical text."""
    if value is None or value is pandas.NaT:
        return None
    name = ty.name
    if isinstance(ty, odps_types.Array):
        return [encode(v, ty.value_type) for v in value]
    if isinstance(ty, odps_types.Map):
        pairs = value.items() if isinstance(value, dict) else value
        return [[encode(k, ty.key_type), encode(v, ty.value_type)] for k, v in pairs]
    if isinstance(ty, odps_types.Struct):
        get = value.get if isinstance(value, dict) else lambda k: getattr(value, k)
        return {k: encode(get(k), t) for k, t in ty.field_types.items()}
    if name == "boolean":
        return "true" if value else "false"
    if name in ("float", "double"):
        return repr(float(value))
    if name.startswith("decimal"):
        return format(value, "f")
    if name == "binary":
        return bytes(value).hex()
    if name == "date":
        return value.isoformat()
    if name == "datetime":
        moment = pandas.Timestamp(value)
        moment = moment.tz_convert(None) if moment.tzinfo else moment
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (moment.microsecond // 1000)
    if name in ("timestamp", "timestamp_ntz"):
        moment = pandas.Timestamp(value)
        moment = moment.tz_convert(None) if moment.tzinfo else moment
        text = moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%06d%03d" % (moment.microsecond, moment.nanosecond)
        return text + ("Z" if name == "timestamp" else "")
    return str(value)


def load(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    return document["columns"], document["rows"]


def records(table, rows, new_record):
    for row in rows:
        yield new_record([decode(v, c.type) for v, c in zip(row, table.table_schema.simple_columns)])


def create(o, args):
    columns, _ = load(args.rows)
    partitions = [args.partition.split("=")[0]] if args.partition else []
    schema = TableSchema.from_lists(
        [c[0] for c in columns], [c[1] for c in columns], partitions, ["string"] * len(partitions)
    )
    extra = {}
    if args.primary_key:
        for column in schema.simple_columns:
            if column.name == args.primary_key:
                column.nullable = False
        extra = {"transactional": True, "primary_key": [args.primary_key], "table_properties": {"write.bucket.num": "4"}}
    o.create_table(args.table, schema, **extra)
    if args.partition:
        o.get_table(args.table).create_partition(args.partition, if_not_exists=True)


def write(o, args):
    table = o.get_table(args.table)
    _, rows = load(args.rows)
    tunnel = TableTunnel(o)
    option = compression(args.compress)
    if args.mode == "batch":
        session = tunnel.create_upload_session(table, partition_spec=args.partition, compress_option=option)
        for block in range(2):
            with session.open_record_writer(block, compress=option is not None) as writer:
                for record in records(table, rows[block::2], session.new_record):
                    writer.write(record)
        session.commit([0, 1])
    elif args.mode == "arrow":
        from odps.tunnel.io.types import odps_schema_to_arrow_schema

        session = tunnel.create_upload_session(table, partition_spec=args.partition, compress_option=option)
        simple = [c for c in table.table_schema.simple_columns]
        arrow_schema = odps_schema_to_arrow_schema(odps_types.OdpsSchema(simple))
        arrays = []
        for index, column in enumerate(simple):
            values = [decode(row[index], column.type) for row in rows]
            field = arrow_schema.field(index)
            if isinstance(column.type, odps_types.Map):
                values = [None if v is None else list(v.items()) for v in values]
            arrays.append(pyarrow.array(values, type=field.type, from_pandas=True))
        batch = pyarrow.RecordBatch.from_arrays(arrays, schema=arrow_schema)
        with session.open_arrow_writer(0, compress=option is not None) as writer:
            writer.write(batch)
        session.commit([0])
    elif args.mode == "stream":
        session = tunnel.create_stream_upload_session(table, partition_spec=args.partition, compress_option=option)
        with session.open_record_writer(compress=option is not None) as writer:
            for record in records(table, rows, session.new_record):
                writer.write(record)
    elif args.mode in ("upsert", "delete"):
        session = tunnel.create_upsert_session(table, partition_spec=args.partition, compress_option=option)
        stream = session.open_upsert_stream(compress=option is not None)
        for record in records(table, rows, session.new_record):
            stream.upsert(record) if args.mode == "upsert" else stream.delete(record)
        stream.flush()
        stream.close()
        session.commit()
    elif args.mode == "high-level":
        with table.open_writer(partition=args.partition, create_partition=bool(args.partition)) as writer:
            writer.write(list(records(table, rows, table.new_record)))


def read(o, args):
    table = o.get_table(args.table)
    columns = table.table_schema.simple_columns
    tunnel = TableTunnel(o)
    if args.mode == "batch":
        session = tunnel.create_download_session(
            table, partition_spec=args.partition, compress_option=compression(args.compress)
        )
        with session.open_record_reader(0, session.count, compress=args.compress != "raw") as reader:
            rows = [[encode(record[c.name], c.type) for c in columns] for record in reader]
    elif args.mode == "arrow":
        session = tunnel.create_download_session(
            table, partition_spec=args.partition, compress_option=compression(args.compress)
        )
        with session.open_arrow_reader(0, session.count, compress=args.compress != "raw") as reader:
            data = reader.read()
        rows = []
        if data is not None:
            lists = []
            for c in columns:
                column = data.column(c.name)
                nanos = isinstance(c.type, odps_types.Timestamp) or c.type.name == "timestamp_ntz"
                if nanos:
                    column = column.cast(pyarrow.int64())
                    lists.append([None if v is None else pandas.Timestamp(v, unit="ns") for v in column.to_pylist()])
                else:
                    lists.append(column.to_pylist())
            rows = [[encode(v, c.type) for v, c in zip(row, columns)] for row in zip(*lists)]
    elif args.mode == "sql":
        where = ""
        if args.partition:
            key, value = args.partition.split("=")
            where = " where %s='%s'" % (key, value)
        names = ", ".join("`%s`" % c.name for c in columns)
        with o.execute_sql("select %s from %s%s" % (names, args.table, where)).open_reader(tunnel=True) as reader:
            rows = [[encode(record[c.name], c.type) for c in columns] for record in reader]
    else:
        with table.open_reader(partition=args.partition) as reader:
            rows = [[encode(record[c.name], c.type) for c in columns] for record in reader]
    return "".join(line([c.name for c in columns], row) for row in rows)


def line(names, row):
    return json.dumps(dict(zip(names, row)), ensure_ascii=False) + "\n"


def count(o, args):
    return str(TableTunnel(o).create_download_session(args.table, partition_spec=args.partition).count)


def sql(o, args):
    """What a query answers; it stands where other actions have the table."""
    instance = o.execute_sql(args.table)
    if not args.table.lstrip().lower().startswith("select"):
        return ""
    with instance.open_reader(tunnel=True) as reader:
        columns = reader.schema.columns
        rows = [[encode(record[c.name], c.type) for c in columns] for record in reader]
    return "".join(line([c.name for c in columns], row) for row in rows)


def serve(request):
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("action", choices=["create", "write", "read", "count", "sql"])
    parser.add_argument("table")
    parser.add_argument("--mode", default="batch")
    parser.add_argument("--rows", help="rows.json or a file of that form")
    parser.add_argument("--partition", help="one level, `pt=value`")
    parser.add_argument("--primary-key")
    parser.add_argument("--compress", default="raw", choices=["raw", "zlib", "zstd", "snappy", "lz4"])
    args = parser.parse_args(request["arguments"])
    actions = {"create": create, "write": write, "read": read, "count": count, "sql": sql}
    return actions[args.action](connect(request["environment"]), args) or ""


def main():
    answers = sys.stdout
    sys.stdout = sys.stderr
    for request in sys.stdin:
        try:
            answer = {"output": serve(json.loads(request))}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


main()
