"""Every setting of the daemon: its name, type, default and description.

Invariant: settings never change after they were loaded (``loading``); a reload makes new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from msgspec import Meta

from llmledger.protocol import MAX_LINE_BYTES
from llmledgerd.config.connections import ConnectionSettings
from llmledgerd.config.options import (
    STATEMENT_SECONDS,
    YES,
    Attachments,
    Mode,
    PayloadRule,
    doc,
)
from llmledgerd.config.store_options import Setting, StoreOptions, settings_of
from llmledgerd.errors import ConfigError

Options = TypeVar("Options", bound=StoreOptions)


class OwnPattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pattern that an operator wrote; its name is what masks and counters carry."""

    name: str
    pattern: str


class Config(ConnectionSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting. Units live in the names; the descriptions are the reference's."""

    spool_dir: Annotated[
        str, doc("Folder of the spool (write-ahead log); dead letters are stored below it.")
    ] = "/var/lib/llmledgerd/spool"
    spool_max_bytes: Annotated[
        int, doc("Maximum size of the spool. A full spool is handled according to `on_full`.", YES, ge=1)
    ] = 10 << 30
    spool_reserve_bytes: Annotated[int, doc("Free space to leave on the spool's disk.", YES, ge=0)] = (
        256 << 20
    )
    spool_ephemeral: Annotated[
        bool,
        doc(
            "Set this if the spool's folder is deleted with the process, as in a pod: after "
            "SIGTERM the daemon then drains until it is killed.",
            YES,
        ),
    ] = False
    on_full: Annotated[
        Literal["block", "drop_oldest"],
        doc(
            "What happens when the spool is full: `block` applies backpressure to senders, "
            "`drop_oldest` evicts the oldest segment and counts the loss.",
            YES,
        ),
    ] = "block"
    fsync: Annotated[
        bool,
        doc(
            "Sync each group of records to disk before it is acknowledged. Without it, a power "
            "cut can lose acknowledged records."
        ),
    ] = True
    group_interval_ms: Annotated[
        float,
        doc(
            "Minimum time between two syncs (group commit). Longer means fewer syncs and later "
            "acknowledgments.",
            YES,
            ge=0,
            le=1000,
        ),
    ] = 2.0
    batch_max_rows: Annotated[int, doc("Seal a segment after this many lines.", YES, ge=1)] = 10_000
    batch_max_bytes: Annotated[int, doc("Seal a segment after this many bytes of lines.", YES, ge=1)] = (
        8 << 20
    )
    batch_max_age_seconds: Annotated[
        float, doc("Seal a segment this long after its first line.", YES, gt=0)
    ] = 1.0
    drain_timeout_seconds: Annotated[
        float,
        doc("Maximum time to keep inserting after SIGTERM. What is left stays in the spool.", YES, ge=0),
    ] = 20.0

    hung_after_seconds: Annotated[
        float,
        doc(
            "Maximum time of one step of the delivery, beyond its own timeouts, before the "
            "systemd watchdog is no longer notified.",
            gt=0,
        ),
    ] = 300.0

    max_line_bytes: Annotated[
        int, doc("Maximum size of a line. Longer lines become dead letters with their first 4 KiB.", ge=1024)
    ] = MAX_LINE_BYTES
    max_inflight_bytes: Annotated[
        int,
        doc(
            "Maximum bytes of records in memory, over all connections and stages; one line of "
            "`max_line_bytes` may come on top.",
            ge=1,
        ),
    ] = 256 << 20
    max_connections: Annotated[
        int,
        doc(
            "Maximum number of connections to the record socket. Further connections are closed at once.",
            YES,
            ge=1,
        ),
    ] = 4096
    max_connections_per_process: Annotated[
        int,
        doc(
            "Maximum number of connections of one sending process, or of one user where the "
            "kernel does not tell the process.",
            YES,
            ge=1,
        ),
    ] = 1024
    stalled_line_seconds: Annotated[
        float,
        doc("Close a connection whose unfinished line has not grown by 1/64 for this long.", YES, gt=0),
    ] = 60.0

    orphan_grace_seconds: Annotated[
        float,
        doc(
            "Time that a disconnected session has to resume before its open calls become `abandoned` rows.",
            YES,
            ge=0,
        ),
    ] = 60.0
    session_memory_seconds: Annotated[
        float, doc("How long to remember a session that did not end.", YES, ge=0)
    ] = 24 * 3600.0
    dead_letters_max_bytes: Annotated[
        int, doc("Maximum size of all dead letters. The oldest are deleted first.", YES, ge=1)
    ] = 1 << 30
    dead_letters_max_age_days: Annotated[
        int, doc("Maximum age of dead letters. Older ones are deleted.", YES, ge=1)
    ] = 30

    payloads: Annotated[
        Mode,
        doc(
            "Where payloads are stored: `inline` in the row, nowhere (`metadata_only`), or in "
            "`payload_store` (`offload`)."
        ),
    ] = "inline"
    payload_above_bytes: Annotated[
        int,
        doc(
            "With `offload`, keep payloads inline if those of the row are not larger than this together.",
            ge=0,
        ),
    ] = 0
    payload_sample_rate: Annotated[
        float,
        doc("Share of traces that keep their payloads, 0 to 1. Failed calls always keep them.", ge=0, le=1),
    ] = 1.0
    payload_rules: Annotated[
        tuple[PayloadRule, ...],
        doc(
            "Rules per organization and call type, in the TOML file only. `organization_id` and "
            "`call_type` select rows; `mode`, `above_bytes`, `sample_rate` and `attachments` "
            "override the settings above. The first match wins."
        ),
    ] = ()
    payload_store: Annotated[
        str,
        doc(
            "Object storage for payloads: `s3://bucket/prefix`, `gs://…`, `az://…`, or a folder, "
            "`file:///path`."
        ),
    ] = ""
    payload_store_file: Annotated[
        str,
        doc(
            "Path of a TOML file with options and credentials of the object storage, such as "
            "`endpoint` and `region`. Empty: those of the environment."
        ),
    ] = ""
    payload_store_timeout_seconds: Annotated[
        float, doc("Maximum time of one request to the object storage.", gt=0)
    ] = 60.0
    payload_uploads_in_flight: Annotated[
        int, doc("Number of objects of one segment uploaded in parallel.", ge=1, le=256)
    ] = 16
    attachments: Annotated[
        Attachments,
        doc(
            "Images and files inside payloads (base64): `keep` them, `store` each once in object "
            "storage, or `drop` them."
        ),
    ] = "keep"
    attachments_above_bytes: Annotated[
        int, doc("Minimum size of an attachment that `store` or `drop` applies to.", ge=0)
    ] = 8192
    redact: Annotated[
        tuple[str, ...],
        doc(
            "Built-in sets of patterns to mask: `api_keys`, `bearer_tokens`, `private_keys`, "
            "`emails`, `phones`, `cards`; see docs/redaction.md."
        ),
    ] = ()
    redaction_patterns: Annotated[
        tuple[OwnPattern, ...], doc("Own patterns to mask: tables with `name` and `pattern` (RE2 syntax).")
    ] = ()
    redact_keys: Annotated[
        tuple[str, ...], doc("JSON keys whose values are masked, at any depth, case-insensitive.")
    ] = ()
    redact_paths: Annotated[
        tuple[str, ...], doc("Paths whose values are masked, such as `request.messages[*].content`.")
    ] = ()
    truncate_payload_bytes: Annotated[
        dict[str, Annotated[int, Meta(ge=1)]],
        doc('Paths whose strings are truncated, with the maximum size in bytes: `{"response": 100000}`.'),
    ] = msgspec.field(default_factory=dict)

    prices_file: Annotated[
        str,
        doc(
            "Path of a TOML or JSON file with prices of your own, which win over the price list; read again "
            "at SIGHUP; see docs/prices.md.",
            YES,
        ),
    ] = ""
    price_list_file: Annotated[
        str,
        doc(
            "Path of a newer release of genai-prices' data (its `data.json`), instead of the one in this package; "
            "read again at SIGHUP.",
            YES,
        ),
    ] = ""

    log_format: Annotated[
        Literal["json", "console"], doc("`json`: one JSON object per line. `console`: for people.", YES)
    ] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], doc("Minimum level of log messages.", YES)
    ] = "info"

    @property
    def call_seconds(self) -> float:
        """How long a call of the store may take; longer than its own bounds let it."""
        return self.hung_after_seconds + self.insert_timeout_seconds + STATEMENT_SECONDS

    def __post_init__(self) -> None:
        if len(set(self.stores)) < len(self.stores):
            raise ConfigError(f"`stores`: {', '.join(self.stores)}: duplicate store")

    def options_of(self, store: str, kind: type[Options]) -> Options:
        """Return a store's options; the defaults of its kind if none were set."""
        found = self.store_options.get(store)
        return found if isinstance(found, kind) else kind()

    def of_settings(self) -> Iterator[tuple[Setting, Any]]:
        """Yield every setting with its value, those of the stores last."""
        for setting in settings_of(type(self)):
            yield setting, getattr(self, setting.name)
        for store, options in self.store_options.items():
            for setting in settings_of(type(options), store):
                yield setting, getattr(options, setting.field)

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return the settings with other values, by the setting's name."""
        own = {name: value for name, value in values.items() if "." not in name}
        options = dict(self.store_options)
        for name, value in values.items():
            store, dot, field = name.partition(".")
            if dot:
                options[store] = msgspec.structs.replace(options[store], **{field: value})
        return msgspec.structs.replace(self, store_options=options, **own)

    @property
    def admin_address(self) -> str:
        if self.admin is None:
            return f"unix:{Path(self.socket_path).with_name('admin.sock')}"
        return self.admin
