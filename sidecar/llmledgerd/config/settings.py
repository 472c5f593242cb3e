"""All an operator can change, read once: defaults, file, environment, flags, later ones winning.

Invariant: a wrong value or an unknown key ends the start with one line that names it; an unknown
name in the environment is a warning, because Kubernetes adds its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from llmledger.protocol import MAX_LINE_BYTES
from llmledgerd.config import secrets
from llmledgerd.config.connections import ConnectionSettings
from llmledgerd.config.options import (
    STATEMENT_SECONDS,
    YES,
    Attachments,
    Mode,
    PayloadRule,
    doc,
)
from llmledgerd.config.sources import deployed_clickhouse, listed, read_toml
from llmledgerd.errors import ConfigError

DEFAULT_FILE = Path("/etc/llmledgerd/llmledgerd.toml")
PREFIX = "LLMLEDGER_"
ALIASES = {"SOCKET": "socket_path"}
"""Names in the environment that are shorter than their setting."""
CLIENT_ONLY = {"DISABLED", "SERVICE", "TEST_CLICKHOUSE_URL", "CORPUS", "TOKEN"}
"""Names that mean something to the client or to the tests, and nothing to the daemon."""


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
        if "postgres" in self.stores and not self.postgres_url:
            raise ConfigError("`postgres_url` is required because `stores` includes postgres")

    @property
    def read_url(self) -> str:
        """Of the store that is read from."""
        return self.clickhouse_url if self.stores[0] == "clickhouse" else self.postgres_url

    @property
    def read_password_file(self) -> str:
        """Where it is read at each connection; ClickHouse's is in its URL by now."""
        return "" if self.stores[0] == "clickhouse" else self.postgres_password_file

    @property
    def admin_address(self) -> str:
        if self.admin is None:
            return f"unix:{Path(self.socket_path).with_name('admin.sock')}"
        return self.admin


RELOAD: Mapping[str, str] = {
    field.name: (get_args(field.type)[1].extra or {})["reload"] for field in msgspec.structs.fields(Config)
}
"""What of each setting SIGHUP changes."""


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    *,
    assigned: Mapping[str, str] | None = None,
    with_password: bool = True,
) -> tuple[Config, list[str]]:
    """Return the settings in force, and warnings about names in the environment.

    ``file`` must exist when given; the default file may be absent. ``assigned`` are the values of
    ``--set``, which win over ``flags``. ``with_password`` puts the password
    that lies in a file into ``clickhouse_url``; not everybody may read it. Raises ConfigError with one
    line that names the source, the setting and what is wrong with it.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if file is not None or DEFAULT_FILE.exists():
        path = file or DEFAULT_FILE
        for name, value in read_toml(path).items():
            values[name], sources[name] = value, str(path)
    warnings = []
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable[len(PREFIX) :] in CLIENT_ONLY:
            continue
        short = variable[len(PREFIX) :]
        name = ALIASES.get(short, short.lower())
        if name not in Config.__struct_fields__:
            warnings.append(f"{variable} is no setting and is ignored")
            continue
        values[name], sources[name] = text, variable
    if "clickhouse_url" not in values:
        url = deployed_clickhouse(environment)
        if url:
            values["clickhouse_url"], sources["clickhouse_url"] = url, "CLICKHOUSE_ENDPOINT"
    for name, value in (flags or {}).items():
        if value is not None:
            values[name], sources[name] = value, f"--{name.replace('_', '-')}"
    for name, value in (assigned or {}).items():
        values[name], sources[name] = value, f"--set {name}={secrets.masked(value)}"
    if secrets.shown([str(value) for value in [*(flags or {}).values(), *(assigned or {}).values()]]):
        warnings.append(secrets.ON_COMMAND_LINE)
    config = _convert(values, sources)
    return _with_password(config, environment) if with_password else config, warnings


def reference() -> str:
    """Return every setting as a Markdown table: name, default, environment variable, meaning."""
    short = {name: alias for alias, name in ALIASES.items()}
    lines = ["| setting | default | environment | reload | meaning |", "|---|---|---|---|---|"]
    for field in msgspec.structs.fields(Config):
        meaning = get_args(field.type)[1].description
        value = {} if field.default is msgspec.NODEFAULT else field.default
        default = json.dumps(value) if value is not None else "unset"
        variable = PREFIX + short.get(field.name, field.name.upper())
        reload = RELOAD[field.name]
        lines.append(f"| `{field.name}` | `{default}` | `{variable}` | {reload} | {meaning} |")
    return "\n".join(lines) + "\n"


def _convert(values: dict[str, Any], sources: dict[str, str]) -> Config:
    for name in values:
        if name not in Config.__struct_fields__:
            raise ConfigError(f"{sources[name]}: unknown setting `{name}`")
    types = {field.name: field.type for field in msgspec.structs.fields(Config)}
    converted = {}
    for name, value in values.items():
        try:
            # Lax, since flags and the environment are text; TOML's own types pass unchanged.
            converted[name] = msgspec.convert(listed(value, types[name]), types[name], strict=False)
        except msgspec.ValidationError as error:
            chosen = _choices(types[name])
            allowed = f" (choose from {', '.join(chosen)})" if chosen else ""
            raise ConfigError(f"{sources[name]}: `{name}`: {error}{allowed}") from None
    return Config(**converted)


def _choices(kind: Any) -> tuple[str, ...]:
    """Return the words that a setting of this type takes, alone or in a list; empty where it takes others."""
    kind = get_args(kind)[0]
    of = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return get_args(of) if get_origin(of) is Literal else ()


def _with_password(config: Config, environment: Mapping[str, str]) -> Config:
    password = secrets.from_file(config.clickhouse_password_file, environment)
    if not password:
        return config
    url = secrets.with_password(config.clickhouse_url, password)
    return msgspec.structs.replace(config, clickhouse_url=url)
