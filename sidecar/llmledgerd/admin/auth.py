"""Bearer tokens of the TCP admin address and their scopes.

Invariant: the file holds hashes, so that its content grants no access; tokens are compared in constant
time; and access that the file does not grant is denied.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from llmledgerd.errors import ConfigError


class Access(msgspec.Struct, frozen=True):
    """Scope of a requester. Operators can read all organizations and the daemon's status."""

    operator: bool
    organizations: frozenset[str] = frozenset()
    may_erase: bool = False
    """Right to erase, independent of the right to read."""
    metrics: bool = False
    """Whether it is limited to the daemon's metrics."""


OPERATOR = Access(operator=True)


class Forbidden(Exception):
    """The token does not permit the request."""


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the file: some organizations, all of them, or only the daemon's metrics."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    name: str = ""
    organizations: list[str] = []
    all_organizations: bool = False
    erase: bool = False
    """Right to erase what it can read."""
    metrics: bool = False

    def __post_init__(self) -> None:
        if [bool(self.organizations), self.all_organizations, self.metrics].count(True) != 1:
            raise ValueError(
                "a token needs exactly one of: organizations, all_organizations = true, metrics = true"
            )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tokens: list[Token]


class Tokens:
    """Tokens of one file, which is reloaded when it has changed."""

    def __init__(self, path: str) -> None:
        """An empty path means no tokens. Raises ConfigError for an unreadable file."""
        self._path = Path(path) if path else None
        self._changed = 0
        self._tokens: list[Token] = []
        self._reload()

    def access(self, authorization: str) -> Access | None:
        """Return the access of an ``Authorization`` header; None without a token of the file.

        Raises ConfigError if the file has changed and is unreadable: all access is denied then.
        """
        token = self._known(authorization)
        if token is None:
            return None
        return Access(
            token.all_organizations,
            frozenset(token.organizations),
            may_erase=token.erase,
            metrics=token.metrics,
        )

    def who(self, authorization: str) -> str:
        """Return the name of a header's token, for the log; empty if the token is unknown."""
        token = self._known(authorization)
        return f"token {token.name or 'without a name'} ({token.sha256[:12]})" if token else ""

    def _known(self, authorization: str) -> Token | None:
        self._reload()
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = hashed(token.strip())
        found = [one for one in self._tokens if hmac.compare_digest(one.sha256, digest)]
        return found[0] if found else None

    def reread(self) -> None:
        """Read the file even if its modification time is unchanged. Raises ConfigError."""
        self._changed = 0
        self._reload()

    def _reload(self) -> None:
        if self._path is None:
            return
        try:
            found = self._path.stat()
            if found.st_mode & stat.S_IWOTH:
                raise ConfigError(f"admin_tokens_file: {self._path}: world-writable; run chmod o-w")
            changed = found.st_mtime_ns
            if changed != self._changed:
                self._tokens = msgspec.toml.decode(self._path.read_bytes(), type=_File).tokens
                self._changed = changed
        except OSError as error:
            raise ConfigError(f"admin_tokens_file: {self._path}: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"admin_tokens_file: {self._path}: {error}") from error


def scope_of(access: Access, organization_id: str | None, all_organizations: bool) -> str | None:
    """Return the organization of a query; None is all of them. Pure.

    Raises Forbidden if the access does not include it, and ValueError if neither parameter is given:
    a missing parameter must not mean all organizations.
    """
    if all_organizations and organization_id is not None:
        raise ValueError("organization_id and all_organizations are mutually exclusive")
    if all_organizations:
        if not access.operator:
            raise Forbidden(
                "this token is limited to its organizations; all_organizations requires an operator's token"
            )
        return None
    if organization_id is None:
        if access.operator or len(access.organizations) != 1:
            raise ValueError("missing organization_id (operators can use all_organizations=true)")
        return next(iter(access.organizations))
    if not access.operator and organization_id not in access.organizations:
        raise Forbidden("this token does not give access to this organization")
    return organization_id


def hashed(token: str) -> str:
    """Return the hash of a token, as in the file."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()  # a header may have any bytes


def new(
    organizations: list[str], name: str = "", *, erase: bool = False, metrics: bool = False
) -> tuple[str, str]:
    """Return a new token and its entry for the file; without organizations it covers all of them.

    A token for ``metrics`` grants nothing else.
    """
    token = secrets.token_urlsafe(32)
    entry = Token(
        sha256=hashed(token),
        name=name,
        organizations=organizations,
        all_organizations=not organizations and not metrics,
        erase=erase,
        metrics=metrics,
    )
    lines = [f"{field} = {msgspec.json.encode(value).decode()}" for field, value in _non_empty(entry).items()]
    return token, "\n".join(["[[tokens]]", *lines])


def _non_empty(entry: Token) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(entry).items() if value}
