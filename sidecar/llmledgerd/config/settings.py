"""All an operator can change, read once: defaults, file, environment, flags, later ones winning.

The options of a store are a table of the file under its name; elsewhere each has a plain name.

Invariant: a wrong value or an unknown key ends the start with one line that names it; an unknown
name in the environment is a warning, because Kubernetes adds its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

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
from llmledgerd.config.sources import listed, read_toml
from llmledgerd.config.store_options import Setting, StoreOptions, settings_of
from llmledgerd.errors import ConfigError

DEFAULT_FILE = Path("/etc/llmledgerd/llmledgerd.toml")
PREFIX = "LLMLEDGER_"
CLIENT_ONLY = {"DISABLED", "SERVICE", "CORPUS", "ADMIN_TOKEN"}
"""Names that mean something to the client or to the tests, and nothing to the daemon."""
FOR_TESTS = "TEST_"
"""Prefix of further names that mean something to the tests only."""

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


Kinds = Mapping[str, type[StoreOptions]]
"""Options of each kind of store by its name; the first kind is the default of ``stores``."""


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    *,
    kinds: Kinds,
    assigned: Mapping[str, str] | None = None,
    with_password: bool = True,
) -> tuple[Config, list[str]]:
    """Return the settings in force, and warnings about names in the environment.

    ``file`` must exist if given; the default file may be absent. ``assigned`` are the values of
    ``--set``, which win over ``flags``. ``with_password`` reads the password files that are read at the
    start; not every user may. Raises ConfigError with one line that names the source, the setting and
    what is wrong with it.
    """
    environment = os.environ if environment is None else environment
    given = _Given(kinds)
    if file is not None or DEFAULT_FILE.exists():
        given.read_file(file or DEFAULT_FILE)
    warnings = given.read_environment(environment)
    for name, value in (flags or {}).items():
        if value is not None:
            given.put(name, value, f"--{name.replace('_', '-')}")
    for name, value in (assigned or {}).items():
        # An unknown name is reported without the value, which may be a password.
        given.put(
            name, value, f"--set {name}={secrets.masked(value)}", unknown=f"--set {name}: unknown setting"
        )
    if secrets.shown([str(value) for value in [*(flags or {}).values(), *(assigned or {}).values()]]):
        warnings.append(secrets.ON_COMMAND_LINE)
    config = given.config(environment)
    if with_password:
        options = {name: one.with_password(environment) for name, one in config.store_options.items()}
        config = msgspec.structs.replace(config, store_options=options)
    return config, warnings


def reference(kinds: Kinds) -> str:
    """Return every setting as a Markdown table: name, default, environment variable, meaning."""
    lines = ["| setting | default | environment | reload | meaning |", "|---|---|---|---|---|"]
    for one in _Given(kinds).settings:
        default = "unset" if one.default is None else json.dumps(one.default)
        lines.append(
            f"| `{one.name}` | `{default}` | `{PREFIX}{one.variable}` | {one.reload} | {one.meaning} |"
        )
    return "\n".join(lines) + "\n"


class _Given:
    """Values from all sources, later ones winning, and where each is from."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        of_stores = [one for store, kind in kinds.items() for one in settings_of(kind, store)]
        self.settings = [_stores_among(one, tuple(kinds)) for one in settings_of(Config)] + of_stores
        self._by_name = {one.name: one for one in self.settings}
        self._by_plain = {one.plain: one for one in self.settings}
        self._values: dict[str, Any] = {}
        self._sources: dict[str, str] = {}

    def put(self, name: str, value: Any, source: str, *, unknown: str = "") -> None:
        """Take a value under the name of the file or the plain one. Raises ConfigError for any other."""
        setting = self._by_plain.get(name) or self._by_name.get(name)
        if setting is None:
            raise ConfigError(unknown or f"{source}: unknown setting `{name}`")
        self._values[setting.name], self._sources[setting.name] = value, source

    def read_file(self, path: Path) -> None:
        for name, value in read_toml(path).items():
            if name not in self._kinds:
                self._put_of_file(name, value, path, store="")
                continue
            if not isinstance(value, dict):
                raise ConfigError(f"{path}: `{name}`: expected a table of options, such as `[{name}]`")
            for option, chosen in value.items():
                self._put_of_file(f"{name}.{option}", chosen, path, store=name)

    def _put_of_file(self, name: str, value: Any, path: Path, store: str) -> None:
        setting = self._by_name.get(name)
        if setting is not None and setting.store == store:
            self.put(name, value, str(path))
            return
        meant = setting or self._by_plain.get(name)
        hint = ""
        if meant is not None:
            hint = f"; write `{meant.field}`" + (f" in the table `[{meant.store}]`" if meant.store else "")
        raise ConfigError(f"{path}: unknown setting `{name}`{hint}")

    def read_environment(self, environment: Mapping[str, str]) -> list[str]:
        """Take the variables that are settings; return warnings about the others."""
        warnings = []
        for variable, text in environment.items():
            short = variable.removeprefix(PREFIX)
            if short == variable or short in CLIENT_ONLY or short.startswith(FOR_TESTS):
                continue
            name = short.lower()
            if name in self._by_plain or name in self._by_name:
                self.put(name, text, variable)
            else:
                warnings.append(f"{variable} is no setting and is ignored")
        return warnings

    def config(self, environment: Mapping[str, str]) -> Config:
        """Return the settings. Raises ConfigError."""
        for store, kind in self._kinds.items():
            if f"{store}.url" not in self._values and (url := kind.deployed_url(environment)):
                self.put(f"{store}.url", url, "environment")
        own: dict[str, Any] = {"stores": (next(iter(self._kinds)),)}
        options: dict[str, dict[str, Any]] = {store: {} for store in self._kinds}
        for name, value in self._values.items():
            setting = self._by_name[name]
            part = options[setting.store] if setting.store else own
            part[setting.field] = self._converted(setting, value)
        of_stores = {store: self._kinds[store](**values) for store, values in options.items()}
        config = Config(**own, store_options=of_stores)
        for store in config.stores:
            if not of_stores[store].url and not self._kinds[store]().url:
                raise ConfigError(f"`{store}.url` is required because `stores` includes {store}")
        return config

    def _converted(self, setting: Setting, value: Any) -> Any:
        try:
            # Lax, since flags and the environment are text; TOML's own types pass unchanged.
            return msgspec.convert(listed(value, setting.type), setting.type, strict=False)
        except msgspec.ValidationError as error:
            chosen = _choices(setting.type)
            allowed = f" (choose from {', '.join(chosen)})" if chosen else ""
            source = self._sources[setting.name]
            raise ConfigError(f"{source}: `{setting.name}`: {error}{allowed}") from None


def _stores_among(setting: Setting, names: tuple[str, ...]) -> Setting:
    """Return the setting ``stores`` with the names that there are; any other setting unchanged."""
    if setting.name != "stores":
        return setting
    bounds = get_args(setting.type)[1:]
    chosen: Any = tuple[Literal[names], ...]  # type: ignore[valid-type]  # known at run time only
    return msgspec.structs.replace(setting, type=Annotated[chosen, *bounds], default=names[:1])


def _choices(kind: Any) -> tuple[str, ...]:
    """Return the words that a setting of this type takes, alone or in a list; empty where it takes others."""
    kind = get_args(kind)[0]
    of = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return get_args(of) if get_origin(of) is Literal else ()
