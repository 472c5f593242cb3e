"""Loading of the settings: defaults, file, environment, flags, later ones winning.

The options of a store are a table of the file under its name; elsewhere each has a plain name.

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

from llmledgerd.config import secrets, units
from llmledgerd.config.settings import Config
from llmledgerd.config.sources import listed, read_toml
from llmledgerd.config.store_options import Setting, StoreOptions, settings_of
from llmledgerd.errors import ConfigError

DEFAULT_FILE = Path("/etc/llmledgerd/llmledgerd.toml")
PREFIX = "LLMLEDGER_"
CLIENT_ONLY = {"DISABLED", "SERVICE", "CORPUS", "TOKEN"}
"""Names that mean something to the client or to the tests, and nothing to the daemon."""
FLAGS = {"socket_path": "--socket"}
"""Flags that are not named as their settings."""
FOR_TESTS = "TEST_"
"""Prefix of further names that mean something to the tests only."""

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
            given.put(name, value, FLAGS.get(name) or f"--{name.replace('_', '-')}")
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
            found = units.plain(setting.field, listed(value, setting.type))
            return msgspec.convert(found, setting.type, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            chosen = _choices(setting.type)
            allowed = f" (choose from {', '.join(chosen)})" if chosen else ""
            source = self._sources[setting.name]
            raise ConfigError(f"{source}: `{setting.name}`: {_wrong(value, error)}{allowed}") from None


def _wrong(value: Any, error: Exception) -> str:
    """Return what is wrong with a value, which is quoted as it was written."""
    said = str(error)
    written = secrets.masked(str(value))
    if not isinstance(value, str | int | float) or f"`{written}`" in said:
        return said
    return f"`{written[:80]}`: {said}"


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
