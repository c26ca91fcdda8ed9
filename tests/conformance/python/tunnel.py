"""Every way in and out of the tunnel with pyodps, all types."""

import datetime
import decimal
import os
import sys
import traceback

if os.environ.get("LONGSHORE_PYODPS") == "pure":
    # Without its compiled modules pyodps falls back to Python.
    for name in ("src.utils_c", "src.crc32c_c", "src.types_c", "tunnel.pb.encoder_c", "tunnel.pb.decoder_c",
                 "tunnel.hasher_c", "tunnel.checksum_c", "tunnel.io.writer_c", "tunnel.io.reader_c"):
        sys.modules["odps." + name] = None

from odps import ODPS, options

options.force_c = os.environ.get("LONGSHORE_PYODPS") == "compiled"

import pandas
import pyarrow
from odps.models import TableSchema
from odps.tunnel import CompressOption, TableTunnel
from odps.tunnel.errors import TunnelError

options.sql.use_odps2_extension = True
options.local_timezone = False
options.struct_as_dict = True
options.map_as_ordered_dict = False

odps = ODPS(
    os.environ["ODPS_ACCESS_ID"],
    os.environ["ODPS_ACCESS_KEY"],
    os.environ["ODPS_PROJECT"],
    endpoint=os.environ["ODPS_ENDPOINT"],
)
tunnel = TableTunnel(odps)
Algorithm = CompressOption.CompressAlgorithm
METHODS = [None, Algorithm.ODPS_ZLIB, Algorithm.ODPS_ZSTD, Algorithm.ODPS_SNAPPY, Algorithm.ODPS_LZ4]

# The pure Python records of pyodps take BINARY for text.
BYTES = b"\x00\x7f" if os.environ.get("LONGSHORE_PYODPS") == "pure" else b"\x00\xff"
COLUMNS = [
    ("id", "bigint"), ("tiny", "tinyint"), ("small", "smallint"), ("whole", "int"), ("flag", "boolean"),
    ("f", "float"), ("d", "double"), ("s", "string"), ("v", "varchar(20)"), ("c", "char(4)"), ("b", "binary"),
    ("dec", "decimal(18,2)"), ("wide", "decimal(38,18)"), ("day", "date"), ("moment", "datetime"),
    ("ts", "timestamp"), ("ntz", "timestamp_ntz"), ("a", "array<string>"), ("m", "map<string,bigint>"),
    ("st", "struct<x:int,y:string>"), ("ta", "array<timestamp>"),
]
ROWS = [
    [1, 1, 2, 3, True, 1.5, -2.25, "hello", "varchar", "abcd", BYTES, decimal.Decimal("12.34"),
     decimal.Decimal("1.5"), datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 34, 56, 789000),
     pandas.Timestamp("2024-02-29 12:34:56.123456789"), pandas.Timestamp("2024-02-29 12:34:56.987654321"),
     ["a", None], {"x": 1, "y": None}, {"x": 1, "y": "q"}, [pandas.Timestamp("2024-02-29 00:00:00.000000001")]],
    [2] + [None] * 20,
    [-3, -128, -32768, -2147483648, False, 0.0, 1e300, "中文 🌊", "é", "zz", b"",
     decimal.Decimal("-0.01"), decimal.Decimal("-99999999999999999999.999999999999999999"), datetime.date(1969, 12, 31),
     datetime.datetime(1970, 1, 1), pandas.Timestamp("1970-01-01"), pandas.Timestamp("1970-01-01 00:00:01"),
     [], {}, {"x": None, "y": ""}, []],
]


def expected(row):
    row = list(row)
    if row[9] is not None:
        row[9] = row[9].ljust(4)
    return row


def same(found, wanted):
    if isinstance(wanted, pandas.Timestamp):
        found = pandas.Timestamp(found)
        return (found.tz_localize(None) if found.tzinfo else found) == wanted
    if isinstance(wanted, datetime.datetime):
        return found.replace(tzinfo=None) == wanted
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(same(f, w) for f, w in zip(found, wanted))
    return found == wanted


def compare(found, wanted, what):
    found = [list(row) for row in found]
    assert len(found) == len(wanted), (what, len(found), len(wanted))
    for f, w in zip(found, wanted):
        for (name, _), x, y in zip(COLUMNS, f, w):
            assert (x is None) == (y is None) and (y is None or same(x, y)), (what, name, x, y)


def option(method):
    return CompressOption(method) if method else None


def create(name, key=False, partitioned=False):
    odps.delete_table(name, if_exists=True)
    columns = ", ".join(f"`{n}` {t}{' not null' if key and n == 'id' else ''}" for n, t in COLUMNS)
    text = f"create table {name} ({columns}{', primary key(id)' if key else ''})"
    if partitioned:
        text += " partitioned by (pt string)"
    if key:
        text += " tblproperties('transactional'='true', 'write.bucket.num'='4')"
    odps.execute_sql(text + ";")


def record_upload():
    create("t_record")
    for method in METHODS:
        session = tunnel.create_upload_session("t_record", overwrite=True, compress_option=option(method))
        with session.open_record_writer(0, compress=method is not None) as writer:
            for row in ROWS:
                writer.write(session.new_record(row))
        with session.open_record_writer(1, compress=method is not None) as writer:
            for row in ROWS:
                writer.write(session.new_record(row))
        session.commit([0, 1])
        down = tunnel.create_download_session("t_record", compress_option=option(method))
        assert down.count == 6
        with down.open_record_reader(0, down.count, compress=method is not None) as reader:
            compare([r.values for r in reader], [expected(r) for r in ROWS] * 2, f"record {method}")
        with down.open_record_reader(2, 2, columns=["s", "id"]) as reader:
            assert [r["id"] for r in reader] == [-3, 1]


def arrow_upload():
    create("t_arrow", partitioned=True)
    for method in METHODS:
        session = tunnel.create_upload_session(
            "t_arrow", partition_spec="pt=a", create_partition=True, overwrite=True, compress_option=option(method)
        )
        from odps.tunnel.io.types import odps_schema_to_arrow_schema
        schema = odps_schema_to_arrow_schema(session.schema)
        rows = [{n: v for (n, _), v in zip(COLUMNS, row)} for row in ROWS]
        for row in rows:
            if row["m"] is not None:
                row["m"] = list(row["m"].items())
        arrays = [pyarrow.array([row[f.name] for row in rows], type=f.type) for f in schema if f.name != "pt"]
        batch = pyarrow.RecordBatch.from_arrays(arrays, [f.name for f in schema if f.name != "pt"])
        with session.open_arrow_writer(0, compress=method is not None) as writer:
            for _ in range(3):
                writer.write(batch)
        session.commit([0])
        down = tunnel.create_download_session("t_arrow", partition_spec="pt=a", compress_option=option(method))
        with down.open_record_reader(0, 3, append_partitions=False) as reader:
            compare([r.values[: len(COLUMNS)] for r in reader], [expected(r) for r in ROWS], f"arrow {method}")
        with down.open_arrow_reader(0, down.count, compress=method is not None) as reader:
            table = reader.read()
        assert table.num_rows == 9, table.num_rows
        assert table.column("id").to_pylist() == [1, 2, -3] * 3
        assert table.column("c").to_pylist()[:3] == ["abcd", None, "zz  "]
        assert table.column("ts").to_pylist()[0] == ROWS[0][15], table.column("ts")
        with down.open_arrow_reader(0, 3, append_partitions=True) as reader:
            assert reader.read().column("pt").to_pylist() == ["a"] * 3


def stream_upload():
    create("t_stream", partitioned=True)
    session = tunnel.create_stream_upload_session(
        "t_stream", partition_spec="pt=a", create_partition=True, slot_num=2, compress_option=option(METHODS[1])
    )
    for _ in range(3):
        with session.open_record_writer(compress=True) as writer:
            for row in ROWS:
                writer.write(session.new_record(row))
    down = tunnel.create_download_session("t_stream", partition_spec="pt=a")
    assert down.count == 9, down.count
    with down.open_record_reader(0, 3, append_partitions=False) as reader:
        compare([r.values[: len(COLUMNS)] for r in reader], [expected(r) for r in ROWS], "stream")
    session.reload(force=True)
    session.abort()


def upsert():
    create("t_upsert", key=True, partitioned=True)
    table = odps.get_table("t_upsert")
    table.create_partition("pt=a", if_not_exists=True)
    for method in METHODS:
        session = tunnel.create_upsert_session("t_upsert", partition_spec="pt=a", slot_num=2, compress_option=option(method))
        stream = session.open_upsert_stream(compress=method is not None)
        for row in ROWS:
            stream.upsert(session.new_record(row))
        stream.upsert(session.new_record([99] + [None] * 20))
        stream.delete(session.new_record([99] + [None] * 20))
        stream.flush()
        stream.close()
        session.commit()
        down = tunnel.create_download_session("t_upsert", partition_spec="pt=a")
        with down.open_record_reader(0, down.count, append_partitions=False) as reader:
            found = sorted(([*r.values][: len(COLUMNS)] for r in reader), key=lambda row: row[0])
        compare(found, sorted((expected(r) for r in ROWS), key=lambda row: row[0]), f"upsert {method}")
    session = tunnel.create_upsert_session("t_upsert", partition_spec="pt=a")
    session.abort()
    with table.open_writer(partition="pt=a") as writer:
        writer.write([[7] + [None] * 20])
    assert tunnel.create_download_session("t_upsert", partition_spec="pt=a").count == 4


def preview():
    for kw in ({}, {"compress_algo": Algorithm.ODPS_ZSTD}, {"compress_algo": Algorithm.ODPS_LZ4}):
        names = [name for name, _ in COLUMNS]
        with tunnel.open_preview_reader(
            odps.get_table("t_arrow"), partition_spec="pt=a", limit=2, columns=names, **kw
        ) as reader:
            table = reader.read()
        assert table.num_rows == 2 and table.column("id").to_pylist() == [1, 2], table
    # `head` is REST's preview in text, which has no form for the fraction of a DATETIME.
    head = list(odps.get_table("t_arrow").head(2, partition="pt=a", columns=["id", "s"]))
    assert [r["id"] for r in head] == [1, 2]


def instance():
    job = odps.execute_sql("select * from t_record limit 3;")
    with job.open_reader(tunnel=True) as reader:
        assert reader.count == 3
        compare([r.values for r in reader], [expected(r) for r in ROWS], "instance")
    with job.open_reader(tunnel=True, arrow=True) as reader:
        table = reader.read_all()
    assert table.num_rows == 3 and table.column("id").to_pylist() == [1, 2, -3], table
    with job.open_reader(tunnel=True) as reader:
        assert [r["id"] for r in reader[1:2]] == [2]


def high_level():
    odps.delete_table("t_high", if_exists=True)
    table = odps.create_table("t_high", TableSchema.from_lists(["id", "name"], ["bigint", "string"], ["pt"], ["string"]))
    with table.open_writer(partition="pt=x", create_partition=True) as writer:
        writer.write([[i, f"n{i}"] for i in range(30000)])
    with table.open_reader(partition="pt=x") as reader:
        assert reader.count == 30000
        assert [r["id"] for r in reader[10:12]] == [10, 11]
    with table.open_reader(partition="pt=x", arrow=True) as reader:
        assert reader.read_all().num_rows == 30000
    assert len(table.to_pandas(partition="pt=x")) == 30000
    odps.write_table("t_high", [[1, "a"]], partition="pt=x", overwrite=True)
    assert [r["name"] for r in odps.read_table("t_high", partition="pt=x")] == ["a"]


def errors():
    for work, code in [
        (lambda: tunnel.create_upload_session("t_arrow", partition_spec="pt=none"), "NoSuchPartition"),
        (lambda: tunnel.create_upload_session("t_record", upload_id="none"), "NoSuchUpload"),
        (lambda: tunnel.create_download_session("t_arrow"), "MissingPartitionSpec"),
    ]:
        try:
            work()
        except Exception as error:
            assert type(error).__name__ == code or getattr(error, "code", None) == code, (code, repr(error))
        else:
            raise AssertionError(code)


failed = 0
for step in (record_upload, arrow_upload, stream_upload, upsert, preview, instance, high_level, errors):
    try:
        step()
        print("ok", step.__name__, flush=True)
    except Exception:
        failed += 1
        print("FAILED", step.__name__, flush=True)
        traceback.print_exc()
raise SystemExit(1 if failed else 0)
