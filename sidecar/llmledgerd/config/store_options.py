"""Settings that every kind of store has; each kind adds its own in a subclass.

Invariant: this package knows no kind of store. The kinds' subclasses are passed to ``loading.load``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

import msgspec

from llmledgerd.config.options import doc


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one store, nested under its name in the file."""

    url: Annotated[str, doc("URL of the store.")] = ""
    password_file: Annotated[str, doc("Path of a file with the store's password.")] = ""

    @classmethod
    def deployed_url(cls, environment: Mapping[str, str]) -> str:
        """Return the URL that variables of existing deployments give; empty without them. Raises ConfigError."""
        return ""

    def with_password(self, environment: Mapping[str, str]) -> Self:
        """Return the options with the password in the URL, if it is to be read at the start. Raises ConfigError."""
        return self

    @property
    def file_read_at_connection(self) -> str:
        """Path of the password file, if the password is read at each connection; otherwise empty."""
        return self.password_file

    def is_same_store(self, url: str) -> bool:
        """Return whether this URL differs from the options' in user and password only. Raises ConfigError."""
        return self.url == url

    def private_paths(self) -> dict[str, str]:
        """Return the paths that only the daemon's user should be able to read, by option; empty ones included."""
        return {"password_file": self.password_file}


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: its type, and its names."""

    name: str
    """As in the file; ``store.option`` for an option of a store."""
    plain: str
    """As in flags, and in capitals in the environment: ``store_option``, unless the option has its own."""
    store: str
    """Empty for settings that belong to no store."""
    field: str
    type: Any
    default: Any
    meaning: str
    reload: str

    @property
    def variable(self) -> str:
        """Name in the environment, without the prefix."""
        return self.plain.upper()


def settings_of(struct: type[msgspec.Struct], store: str = "") -> list[Setting]:
    """Return the settings that a struct declares by ``doc``, in its order."""
    found = []
    for field in msgspec.structs.fields(struct):
        meta = next((meta for meta in getattr(field.type, "__metadata__", ()) if meta.description), None)
        if meta is None:
            continue
        extra = meta.extra or {}
        found.append(
            Setting(
                name=f"{store}.{field.name}" if store else field.name,
                plain=extra.get("plain") or (f"{store}_{field.name}" if store else field.name),
                store=store,
                field=field.name,
                type=field.type,
                default={} if field.default is msgspec.NODEFAULT else field.default,
                meaning=meta.description,
                reload=extra.get("reload", ""),
            )
        )
    return found
