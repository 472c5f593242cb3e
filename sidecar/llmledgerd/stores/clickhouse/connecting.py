"""Connections to ClickHouse through its driver, and the driver's options.

Invariants:
- A driver exception never leaves ``connect`` or ``translated``: what leaves is StoreBusy, OutcomeUnknown,
  BatchRejected or ConfigError.
- The driver sends a request once: its own retries are off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llmledgerd.errors import ConfigError
from llmledgerd.stores.clickhouse.engine_text import plain
from llmledgerd.stores.clickhouse.error_codes import settled, translate
from llmledgerd.stores.clickhouse.url import Target, locked_by
from llmledgerd.system.folders import make_folder
from llmledgerd.system.permissions import refusal

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

CONNECT_SECONDS = 10
"""How long one attempt to connect may take; shorter where an insert may take less."""


def connect(target: Target, database: str | None, timeout: int) -> Client:
    """Return a new client. An error here means that no statement of the caller was sent.

    ``timeout`` is in seconds. Raises StoreBusy, and ConfigError for an embedded store that cannot be opened.
    """
    from llmledgerd.stores.clickhouse.driver import ClickHouseError, transport

    path = target.path
    owner = locked_by(path) if path is not None else ""
    if owner:  # asked first, because the engine would say so on standard error alone
        raise ConfigError(
            f"{path} is open in {owner}; one process at a time can open an embedded store:"
            " stop that one, or read through the daemon's admin address"
        )
    refused = refusal(path, writes=True) if path is not None else ""
    if refused:
        raise ConfigError(refused)
    try:
        return _open(target, database, timeout)
    except (ClickHouseError, transport.HTTPError, OSError) as error:
        if path is not None:
            raise ConfigError(f"cannot open the store {path}: {plain(str(error))}") from error
        raise settled(translate(target.address, error, ClickHouseError)) from error


def _open(target: Target, database: str | None, timeout: int) -> Client:
    from llmledgerd.stores.clickhouse.driver import HttpClient, get_client

    if target.path is not None:
        make_folder(Path(target.path))
        return get_client(
            interface="chdb",
            path=target.path,
            database=database,
            settings=dict(target.settings),
            show_clickhouse_errors="scrub",
        )
    client = get_client(
        interface=target.scheme,
        host=target.host,
        port=target.port,
        username=target.user or None,
        password=target.password,
        database=database,
        settings=dict(target.settings),
        show_clickhouse_errors="scrub",  # without the request's URL, which says nothing to an operator
        compress=False,  # costs the daemon more than the network between a pod and its cluster
        connect_timeout=min(CONNECT_SECONDS, timeout),
        send_receive_timeout=timeout,
        autogenerate_session_id=False,  # a session runs one statement at a time
        dedicated_pool=True,  # so that closing the client closes its connection
        **cast("dict[str, Any]", target.options),
    )
    # Its second try would take up the body where the first, refused, had left it, and hide the refusal.
    cast("HttpClient", client).http_retries = 0
    return client


@contextlib.contextmanager
def translated(address: str, *, writes: bool) -> Iterator[None]:
    """Translate exceptions of the driver. OutcomeUnknown is raised for a call that ``writes`` only."""
    from llmledgerd.stores.clickhouse.driver import ClickHouseError, transport

    try:
        yield
    except (ClickHouseError, transport.HTTPError, OSError) as error:
        found = translate(address, error, ClickHouseError)
        raise (found if writes else settled(found)) from error
