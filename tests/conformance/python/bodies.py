"""Takes apart what was sent to a server: `bodies.py DIRECTORY`, a file a connection.

HTTP by hand, compression by zlib, python-snappy and lz4, records with their checksums by pyodps. Prints a JSON line for
each body with records: how it was sent, and the `id` and `text` of its records.
"""

import io
import json
import pathlib
import sys
import urllib.parse
import zlib

import lz4.frame
import snappy
from odps import types
from odps.tunnel.io.reader import TunnelRecordReader

COLUMNS = [("id", "bigint"), ("text", "string")]
# What an upsert appends to each record.
HIDDEN = [
    ("__version", "bigint"), ("__app_version", "bigint"), ("__operation", "tinyint"),
    ("__key_cols", "array<bigint>"), ("__value_cols", "array<bigint>"),
]
DECODERS = {
    None: lambda body: body,
    "deflate": zlib.decompress,
    "x-snappy-framed": lambda body: snappy.StreamDecompressor().decompress(body),
    "x-lz4-frame": lz4.frame.decompress,
}


def requests(stream):
    while head := stream.readline():
        method, target, version = head.decode("ascii").split()
        assert version == "HTTP/1.1", head
        headers = {}
        while (line := stream.readline().decode("latin-1").rstrip("\r\n")):
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(stream.readline(), 16):
                body += stream.read(size)
                assert stream.readline() == b"\r\n"
            assert stream.readline() == b"\r\n"
        else:
            size = int(headers.get("content-length", 0))
            body = stream.read(size)
            assert len(body) == size, "the body is cut off"
        yield method, urllib.parse.urlsplit(target), headers, body


def records(body, columns):
    schema = types.OdpsSchema([types.Column(name, type) for name, type in columns])
    reader = TunnelRecordReader(schema, lambda cursor, **_: io.BytesIO(body))
    return [{"id": record["id"], "text": record["text"]} for record in reader]


for connection in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    for method, target, headers, body in requests(io.BytesIO(connection.read_bytes())):
        query = urllib.parse.parse_qs(target.query, keep_blank_values=True)
        if method == "PUT" and "blockid" in query:
            columns = COLUMNS
        elif method == "PUT" and "bucketid" in query:
            columns = COLUMNS + HIDDEN
        else:
            continue
        encoding = headers.get("content-encoding")
        plain = DECODERS[encoding](body)
        rows = records(plain, columns)
        if "record_count" in query:
            assert int(query["record_count"][0]) == len(rows), query
        print(json.dumps({
            "path": target.path, "encoding": encoding, "sent": len(body), "plain": len(plain), "rows": rows,
        }))
