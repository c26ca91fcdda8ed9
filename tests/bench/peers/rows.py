"""The rows of the comparison, as tests/bench/rows makes them: row i is row i % pool with column id = i."""

import datetime
import decimal

import numpy
import pandas

POOL = {"narrow": 32768, "wide": 8192}

NARROW = [("s1", "prefixed"), ("s2", "status"), ("d", "double"), ("m", "decimal2"), ("ts", "timestamp"), ("n", "int")]
WIDE = (
    [(f"c{i}", length) for i, length in enumerate((8, 12, 16, 20, 24, 32, 40), 1)]
    + [("c8", "status")]
    + [(f"c{i}", "bigint") for i in range(9, 13)]
    + [(f"c{i}", "int") for i in range(13, 16)]
    + [("c16", "smallint")]
    + [(f"c{i}", "double") for i in range(17, 21)]
    + [("c21", "float"), ("c22", "decimal2"), ("c23", "decimal2"), ("c24", "decimal10"), ("c25", "boolean")]
    + [("c26", "date"), ("c27", "timestamp"), ("c28", "timestamp"), ("c29", 10)]
)
COLUMNS = {"narrow": NARROW, "wide": WIDE}
FIRST_NULLABLE = 8


def hashes(rows, column):
    """splitmix64 of row and column."""
    with numpy.errstate(over="ignore"):
        x = numpy.arange(rows, dtype=numpy.uint64) * numpy.uint64(64) + numpy.uint64(column)
        x += numpy.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return x ^ (x >> numpy.uint64(31))


def values(kind, column):
    """The values of a column, of the types that records take."""
    h = [int(x) for x in column]
    if isinstance(kind, int):
        return [(f"{x:016x}" * 3)[:kind] for x in h]
    if kind == "prefixed":
        return [f"ord-{x:016x}" for x in h]
    if kind == "status":
        return [f"status-{x % 1000:05}" for x in h]
    if kind == "bigint":
        return [int(x) for x in column.view(numpy.int64) >> 24]
    if kind == "int":
        return [x % 100000 for x in h]
    if kind == "smallint":
        return [x % 30000 for x in h]
    if kind == "double":
        return [(x % 1000000007) / 1000.0 for x in h]
    if kind == "float":
        return [(x % 65536) / 16.0 for x in h]
    if kind == "decimal2":
        return [decimal.Decimal(x % 10**10 - 5 * 10**9).scaleb(-2) for x in h]
    if kind == "decimal10":
        return [decimal.Decimal(x % 10**15 - 5 * 10**14).scaleb(-10) for x in h]
    if kind == "boolean":
        return [x % 2 == 1 for x in h]
    if kind == "date":
        return [datetime.date(1970, 1, 1) + datetime.timedelta(19000 + x % 1000) for x in h]
    if kind == "timestamp":
        seconds = [1704067200 + x % 31536000 for x in h]
        micros = [(x >> 40) % 1000000 for x in h]
        return [pandas.Timestamp(s * 10**9 + u * 1000) for s, u in zip(seconds, micros)]
    raise ValueError(kind)


def columns(shape):
    """The columns behind id: name, kind and the pool's values."""
    pool = POOL[shape]
    made = []
    for index, (name, kind) in enumerate(COLUMNS[shape], 1):
        column = values(kind, hashes(pool, index))
        if shape == "wide" and index >= FIRST_NULLABLE:
            nulls = hashes(pool, index + 32) % numpy.uint64(16) == 0
            column = [None if null else value for value, null in zip(column, nulls)]
        made.append((name, kind, column))
    return made
