"""Object storage: S3, GCS, Azure or a folder. The only module that imports ``obstore``.

Invariants:
- This module raises StoreBusy (retry), ObjectGone or ConfigError, never a library's exception.
- An object survives a power failure once ``settle`` has returned, as far as its store can tell.
- Only objects under the configured URL are read, written, listed or deleted.

Credentials come from the sources of the clouds' own tools (``AWS_…``, ``GOOGLE_…``, ``AZURE_…``, the
machine's role), or are in the file of the setting ``payload_store_file``.
"""

from __future__ import annotations

import asyncio
import os
import tomllib
import uuid
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, from_url

from llmledgerd.errors import OBJECT_STORAGE, ConfigError, ObjectGone, StoreBusy
from llmledgerd.system.folders import make_folder

SCHEMES: Final = {"s3": "s3", "gs": "gs", "az": "azure", "azure": "azure", "file": "file"}
FOLDER: Final = "file"

RETRIES: Final = {"max_retries": 1, "retry_timeout": timedelta(seconds=5)}
"""Retries of the library. Callers decide on further ones, and log them."""

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
PAGE: Final = 300
"""Objects listed and queried at a time: their names fit one statement's parameter."""


class Found(msgspec.Struct, frozen=True):
    """One object, without its content."""

    name: str
    size: int
    modified: datetime


class Objects:
    """The objects under one URL. Methods that are not coroutines block."""

    def __init__(self, url: str, file: str = "", *, timeout_seconds: float = 60.0, sync: bool = True) -> None:
        """The store is not accessed yet. Raises ConfigError for an unusable URL or file.

        ``sync``: files of a folder are synced, so that they survive a power failure like the rows.
        """
        self.base = url.rstrip("/")
        self._sync = sync
        self._folder = _folder(self.base)
        self._store = _open(self.base, _options(file), timeout_seconds)

    async def create(self, name: str, content: bytes) -> bool:
        """Store an object unless there is one of that name; return whether there was none."""
        try:
            with _translated():
                await obstore.put_async(self._store, name, content, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        return True

    async def put(self, name: str, content: bytes, media_type: str = "") -> None:
        """Store an object, whether or not there is one of that name."""
        attributes = {"Content-Type": media_type} if media_type and self._folder is None else None
        with _translated():
            await obstore.put_async(
                self._store, name, content, attributes=attributes, use_multipart=False
            )  # fmt: skip

    async def get(self, name: str) -> bytes:
        """Return an object's content. Raises ObjectGone."""
        with _translated(name):
            return bytes(await (await obstore.get_async(self._store, name)).bytes_async())

    async def found(self, name: str) -> Found | None:
        """Return an object's size and age; None where there is none."""
        try:
            with _translated(name):
                head = await obstore.head_async(self._store, name)
        except ObjectGone:
            return None
        return Found(name, head["size"], head["last_modified"])

    def read(self, name: str) -> bytes:
        """Return an object's content. Raises ObjectGone."""
        with _translated(name):
            return bytes(obstore.get(self._store, name).bytes())

    def folders(self, prefix: str) -> list[str]:
        """Return the folders directly under one, in order."""
        with _translated():
            return sorted(obstore.list_with_delimiter(self._store, prefix)["common_prefixes"])

    def pages(self, prefix: str) -> Iterator[list[Found]]:
        """Yield all objects under a folder, some at a time."""
        with _translated():
            for page in obstore.list(self._store, prefix, chunk_size=PAGE):
                yield [Found(one["path"], one["size"], one["last_modified"]) for one in page]

    def delete(self, found: Sequence[str]) -> None:
        """Delete objects; missing ones are ignored."""
        if not found:
            return
        with _translated():
            try:
                obstore.delete(self._store, list(found))
            except FileNotFoundError:  # of a folder, which stops there
                for name in found:
                    with suppress(FileNotFoundError):
                        obstore.delete(self._store, name)

    def probe(self) -> None:
        """Create, read and delete an object, to check the permissions.

        Raises StoreBusy, and ConfigError if a create overwrites an existing object: two calls with one id
        would share the later one's payloads.
        """
        name = f"check/{uuid.uuid4()}"
        with _translated():
            obstore.put(self._store, name, b"llmledgerd check", mode="create")
            obstore.get(self._store, name)
            try:
                obstore.put(self._store, name, b"again", mode="create")
            except AlreadyExistsError:
                return
            finally:
                obstore.delete(self._store, name)
        raise ConfigError(
            "payload_store: conditional writes (If-None-Match) are not supported by this storage"
        )

    async def settle(self, stored: Iterable[str]) -> None:
        """Sync objects to the disk. Cloud stores have done so when they answer."""
        if self._folder is not None and self._sync:
            with _translated():
                await asyncio.to_thread(_sync, self._folder, list(stored))


def _folder(base: str) -> Path | None:
    """Return the folder of a file URL. Raises ConfigError for an unusable URL."""
    parts = urlsplit(base)
    if parts.scheme not in SCHEMES:
        raise ConfigError(
            f"payload_store: `{parts.scheme}` is not a supported scheme (use {', '.join(SCHEMES)})"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("payload_store: credentials and options go into payload_store_file, not the URL")
    if parts.scheme == FOLDER:
        if parts.netloc or not parts.path.strip("/"):
            raise ConfigError("payload_store: requires an absolute path, such as file:///var/lib/payloads")
        return Path(unquote(parts.path))
    if not parts.netloc:
        raise ConfigError("payload_store: missing bucket")
    return None


def _options(file: str) -> dict[str, Any]:
    if not file:
        return {}
    try:
        with Path(file).open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"payload_store_file: {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"payload_store_file: {file}: {error}") from error


def _open(base: str, options: dict[str, Any], timeout_seconds: float) -> ObjectStore:
    scheme, rest = base.split("://", 1)
    url = f"{SCHEMES[scheme]}://{rest}"
    try:
        if scheme == FOLDER:
            make_folder(Path(unquote(urlsplit(base).path)))
            return from_url(url, mkdir=True)
        client = {
            "connect_timeout": CONNECT_TIMEOUT,
            "timeout": timedelta(seconds=timeout_seconds),
            "allow_http": True,  # an endpoint's own scheme decides; the clouds' are https
            **options.pop("client", {}),
        }
        return from_url(url, config=options, client_options=client, retry_config=RETRIES)  # type: ignore[call-overload,no-any-return]  # one of three clouds' options, as the file has them
    except (BaseError, OSError, ValueError, TypeError) as error:
        raise ConfigError(f"payload_store: {_first_line(error)}") from error


@contextmanager
def _translated(name: str = "") -> Generator[None]:
    try:
        yield
    except AlreadyExistsError:
        raise  # of ``create``, which answers it
    except FileNotFoundError as error:
        if name:
            raise ObjectGone(name) from error
        raise StoreBusy(OBJECT_STORAGE, _first_line(error)) from error
    except (BaseError, OSError, ValueError) as error:
        raise StoreBusy(OBJECT_STORAGE, _first_line(error)) from error


def _first_line(error: Exception) -> str:
    """Return the first line of an error, because the library appends pages of its state."""
    return str(error).partition("\n")[0]


def _sync(base: Path, names: Sequence[str]) -> None:
    """Sync files and their folders, since the folder of a new day is new too."""
    files = [base / name for name in names]
    folders = {folder for file in files for folder in file.parents if folder.is_relative_to(base)}
    for path in (*files, *folders):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
