"""Settings of PostgreSQL: the table ``[postgres]`` of the settings file."""

from __future__ import annotations

from typing import Annotated, Literal

from llmledgerd.config.options import doc
from llmledgerd.config.store_options import StoreOptions


class PostgresOptions(StoreOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where PostgreSQL is, and which part of the records it stores."""

    url: Annotated[
        str,
        doc(
            "PostgreSQL to write to: `postgresql://user:password@host:port/database`. Required if "
            "`stores` includes `postgres`."
        ),
    ] = ""
    password_file: Annotated[
        str,
        doc(
            "Path of a file with the PostgreSQL password, read at each connection. Empty: the "
            "password in `postgres.url`."
        ),
    ] = ""
    content: Annotated[
        Literal["full", "metadata"],
        doc("What PostgreSQL stores: `full` records, or `metadata` (all columns except the payloads)."),
    ] = "full"
