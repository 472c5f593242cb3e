"""Settings of the sockets that the daemon serves, and those that all stores share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from llmledger.protocol import DEFAULT_SOCKET
from llmledgerd.config.options import doc
from llmledgerd.config.store_options import StoreOptions


class ConnectionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the daemon's sockets and stores. ``Config`` adds the others."""

    socket_path: Annotated[str, doc("Path of the Unix socket that senders connect to.", plain="socket")] = (
        DEFAULT_SOCKET
    )
    socket_mode: Annotated[str, doc("File mode of the record socket, octal.", pattern="^0?[0-7]{3}$")] = (
        "0660"
    )
    socket_group: Annotated[str, doc("Group of the record socket. Empty: the daemon's own group.")] = ""
    allowed_uids: Annotated[
        str,
        doc(
            "Users allowed to send, as comma-separated names or numbers (Linux only; elsewhere "
            "the daemon refuses to start when this is set). Empty, with `allowed_gids` empty too: "
            "everybody who can open the socket."
        ),
    ] = ""
    allowed_gids: Annotated[
        str,
        doc(
            "Groups whose members are allowed to send, as comma-separated names or numbers (Linux "
            "only). A sender needs one match in `allowed_uids` or `allowed_gids`."
        ),
    ] = ""
    admin: Annotated[
        str | None,
        doc(
            "Address of the admin HTTP server: `unix:/path` or `host:port`. Empty: no admin "
            "server. Unset: `admin.sock` in the folder of the record socket."
        ),
    ] = None

    admin_tokens_file: Annotated[
        str,
        doc(
            "Path of a TOML file with bearer tokens for `/v1` on `host:port` (`llmledgerd token` "
            "prints entries). Empty: nobody may use `/v1` over TCP."
        ),
    ] = ""

    admin_socket_erases: Annotated[
        bool,
        doc(
            "Allow erasing through a Unix `admin` socket to everybody who can open it. On "
            "`host:port` a token with `erase = true` is required instead."
        ),
    ] = False
    metrics_need_token: Annotated[
        bool,
        doc(
            "Require a token for `/metrics` on `host:port`: an operator's, or one made by "
            "`llmledgerd token --metrics`."
        ),
    ] = False

    otlp: Annotated[
        tuple[str, ...],
        doc(
            "Addresses on which traces and logs are received over OTLP: HTTP at `host:port` (usually "
            "`127.0.0.1:4318`) and `unix:/path`, gRPC at port 4317 and at `grpc:host:port`. Off the loopback a token "
            "of `admin_tokens_file` is required. Needs `llmledgerd[otlp]`, and `llmledgerd[otlp-grpc]` for gRPC; see "
            "docs/otlp.md."
        ),
    ] = ()

    stores: Annotated[
        tuple[str, ...],
        doc("Stores that records are written to. The first one answers queries.", min_length=1),
    ] = ()
    store_options: Mapping[str, StoreOptions] = {}
    """Options of each store by its name: the tables of the file, such as ``[name] url``."""
    ttl_days: Annotated[
        int,
        doc(
            "Days to keep rows of `llm_traces` after their receipt; 0 keeps them forever. Applied "
            "by `migrate` only.",
            ge=0,
        ),
    ] = 90
    insert_timeout_seconds: Annotated[
        float, doc("Maximum time without a byte from the store during an insert.", gt=0)
    ] = 60.0
    inserts_in_flight: Annotated[
        int, doc("Number of segments inserted in parallel, per store.", ge=1, le=16)
    ] = 2
    retry_first_seconds: Annotated[
        float, doc("First delay of the exponential backoff after a store has failed.", gt=0)
    ] = 0.1
    retry_cap_seconds: Annotated[float, doc("Maximum delay of that backoff.", gt=0)] = 30.0
