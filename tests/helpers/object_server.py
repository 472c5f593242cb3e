"""A stand-in for S3, in a process of its own: enough of its HTTP for ``obstore``, over a folder.

Invariant: an object is whole or not there, whenever the process is killed; ``If-None-Match: *`` is kept
to; what was answered is on the folder. Signatures are not checked.

Run as ``python object_server.py --data FOLDER --port N``; the port is printed once it listens. The
process ends when its standard input does, so that a killed test leaves nothing running.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import sys
import threading
import uuid
from collections import Counter
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from aiohttp import web

LIST = '<?xml version="1.0"?><ListBucketResult><IsTruncated>{more}</IsTruncated>{token}{items}</ListBucketResult>'
FAULTS = {"status", "cut", "store_then_cut", "overwrite"}


class Server:
    """Objects of any number of buckets, and what goes wrong with the next PUTs."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()

    async def control(self, request: web.Request) -> web.Response:
        """POST adds a fault so often, DELETE forgets all; both say what has happened."""
        if request.method == "POST":
            asked = await request.json()
            assert asked["kind"] in FAULTS
            self.faults += [asked["kind"]] * asked["times"]
        elif request.method == "DELETE":
            self.faults.clear()
        return web.json_response({**self.counts})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request as S3 does."""
        bucket, _, key = unquote(request.raw_path.partition("?")[0]).lstrip("/").partition("/")
        if not key:
            return await (
                self._delete_many(bucket, request)
                if "delete" in request.query
                else self._list(bucket, request)
            )
        path = self._path(bucket, key)
        self.counts[request.method] += 1
        if request.method == "PUT":
            return await self._put(path, request)
        if request.method == "DELETE":
            path.unlink(missing_ok=True)
            return web.Response(status=204)
        if not path.exists():
            return _error(404, "NoSuchKey")
        return web.Response(body=path.read_bytes(), headers=_headers(path))

    async def _put(self, path: Path, request: web.Request) -> web.StreamResponse:
        fault = self.faults.pop() if self.faults else ""
        if fault:
            self.counts[fault] += 1
        if fault == "status":
            return _error(503, "SlowDown")
        body = await request.read()
        if fault == "cut":
            return _cut(request)
        if request.headers.get("If-None-Match") == "*" and path.exists() and fault != "overwrite":
            return _error(412, "PreconditionFailed")
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = self.data / f"{uuid.uuid4()}.staged"
        staged.write_bytes(body)
        staged.rename(path)
        if fault == "store_then_cut":
            return _cut(request)
        return web.Response(headers={"ETag": _headers(path)["ETag"]})

    async def _list(self, bucket: str, request: web.Request) -> web.Response:
        prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
        after, most = request.query.get("continuation-token", ""), int(request.query.get("max-keys", 1000))
        keys = sorted(key for key in self._keys(bucket) if key.startswith(prefix) and key > after)
        folders = {
            prefix + key[len(prefix) :].partition("/")[0] + "/"
            for key in keys
            if delimiter and "/" in key[len(prefix) :]
        }
        shown = [key for key in keys if not any(key.startswith(folder) for folder in folders)]
        page = shown[:most]
        items = "".join(self._item(bucket, key) for key in page)
        items += "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in sorted(folders)
        )
        more = len(shown) > most
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return _xml(LIST.format(more=str(more).lower(), token=token, items=items))

    async def _delete_many(self, bucket: str, request: web.Request) -> web.Response:
        keys = re.findall(r"<Key>(.*?)</Key>", await request.text())
        for key in keys:
            self._path(bucket, key).unlink(missing_ok=True)
        gone = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        return _xml(f'<?xml version="1.0"?><DeleteResult>{gone}</DeleteResult>')

    def _path(self, bucket: str, key: str) -> Path:
        return self.data / bucket / quote(key, safe="")

    def _keys(self, bucket: str) -> list[str]:
        folder = self.data / bucket
        return [unquote(path.name) for path in folder.iterdir()] if folder.exists() else []

    def _item(self, bucket: str, key: str) -> str:
        path = self._path(bucket, key)
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        tag = escape(_headers(path)["ETag"])
        return f"<Contents><Key>{escape(key)}</Key><LastModified>{at}</LastModified><ETag>{tag}</ETag><Size>{path.stat().st_size}</Size></Contents>"


def _headers(path: Path) -> dict[str, str]:
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    tag = hashlib.md5(path.read_bytes()).hexdigest()
    return {"ETag": f'"{tag}"', "Last-Modified": format_datetime(at, usegmt=True)}


def _xml(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/xml")


def _error(status: int, code: str) -> web.Response:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return web.Response(status=status, text=body, content_type="application/xml")


def _cut(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


async def serve(data: Path, port: int) -> None:
    server = Server(data)
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/_faults", server.control)
    application.router.add_route("*", "/{anything:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(serve(arguments.data, arguments.port))
