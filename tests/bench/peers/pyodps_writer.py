"""Writes the rows of the comparison with pyodps: WAY SHAPE ROWS TABLE COMPRESSION.

WAY is record, upsert or arrow; the server is the one of the ODPS_ variables."""

import os
import sys

import pyarrow
from odps import ODPS, options
from odps.tunnel import CompressOption, TableTunnel

import rows

options.sql.use_odps2_extension = True
options.local_timezone = False
# The fast writers or none.
options.force_c = True

ARROW = {
    "double": pyarrow.float64(), "float": pyarrow.float32(), "bigint": pyarrow.int64(), "int": pyarrow.int32(),
    "smallint": pyarrow.int16(), "boolean": pyarrow.bool_(), "date": pyarrow.date32(),
    "decimal2": pyarrow.decimal128(18, 2), "decimal10": pyarrow.decimal128(38, 10),
    "timestamp": pyarrow.timestamp("ns"),
}


def main(way, shape, count, table_name, compression):
    odps = ODPS(os.environ["ODPS_ACCESS_ID"], os.environ["ODPS_ACCESS_KEY"], os.environ["ODPS_PROJECT"],
                endpoint=os.environ["ODPS_ENDPOINT"])
    table = odps.get_table(table_name)
    tunnel = TableTunnel(odps)
    algorithm = getattr(CompressOption.CompressAlgorithm, f"ODPS_{compression.upper()}")
    # The level of the Java SDK.
    compress = CompressOption(algorithm, 1, 0)
    pool = rows.columns(shape)
    if way == "record":
        session = tunnel.create_upload_session(table, compress_option=compress)
        with session.open_record_writer(0, compress=True) as writer:
            for row in records(pool, count):
                writer.write(session.new_record(row))
        session.commit([0])
    elif way == "upsert":
        session = tunnel.create_upsert_session(table, compress_option=compress)
        stream = session.open_upsert_stream(compress=True)
        # Past this limit it flushes all buckets at once from several threads, which pyodps 0.13.2 does not survive;
        # each bucket is still sent at 1 MiB.
        stream._max_buffer_size = sys.maxsize
        for row in records(pool, count):
            stream.upsert(session.new_record(row))
        stream.flush()
        stream.close()
        session.commit()
    elif way == "arrow":
        session = tunnel.create_upload_session(table, compress_option=compress)
        with session.open_arrow_writer(0, compress=True) as writer:
            for batch in batches(pool, count):
                writer.write(batch)
        session.commit([0])
    else:
        raise ValueError(way)


def records(pool, count):
    tails = list(zip(*(values for _, _, values in pool)))
    size = len(tails)
    for i in range(count):
        yield (i, *tails[i % size])


def batches(pool, count):
    names = ["id"] + [name for name, _, _ in pool]
    arrays = [pyarrow.array(values, ARROW.get(kind, pyarrow.string())) for _, kind, values in pool]
    size = len(arrays[0])
    for start in range(0, count, size):
        length = min(size, count - start)
        ids = pyarrow.array(range(start, start + length), pyarrow.int64())
        yield pyarrow.record_batch([ids] + [array.slice(0, length) for array in arrays], names=names)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
