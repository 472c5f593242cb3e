"""Who may ask what on a TCP admin address: bearer tokens and their scopes.

Invariant: the file holds hashes, so that whoever reads it cannot ask anything; a token is compared
in a time that says nothing of it; and what the file does not say is not allowed.
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
    """Whose rows somebody may see. An operator sees every organization's, and the daemon's own numbers."""

    operator: bool
    organizations: frozenset[str] = frozenset()
    may_erase: bool = False
    """It is a right of its own: seeing everything is none to erase anything."""
    metrics: bool = False
    """Whether it is for the daemon's metrics, and nothing else."""


OPERATOR = Access(operator=True)


class Forbidden(Exception):
    """The token does not allow it."""


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the file: either organizations, or all of them, or the daemon's metrics alone."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    name: str = ""
    organizations: list[str] = []
    all_organizations: bool = False
    erase: bool = False
    """What it may see, it may erase."""
    metrics: bool = False

    def __post_init__(self) -> None:
        if [bool(self.organizations), self.all_organizations, self.metrics].count(True) != 1:
            raise ValueError(
                "a token needs either organizations or all_organizations = true, or metrics = true alone"
            )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tokens: list[Token]


class Tokens:
    """The tokens of one file, which is read again when it has changed."""

    def __init__(self, path: str) -> None:
        """An empty path is no tokens. Raises ConfigError for a file that cannot be read."""
        self._path = Path(path) if path else None
        self._changed = 0
        self._tokens: list[Token] = []
        self._reload()

    def access(self, authorization: str) -> Access | None:
        """Return what an ``Authorization`` header allows; None where it holds no token of the file.

        Raises ConfigError where the file has changed and cannot be read: nobody is let in then.
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
        """Return whose token a header holds, for the log; empty where it is none of the file."""
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
        """Read the file, also where its time is that of the last reading. Raises ConfigError."""
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


def whose(access: Access, organization_id: str | None, all_organizations: bool) -> str | None:
    """Return the organization whose rows are meant; None is every one. Pure.

    Raises Forbidden where the access does not reach so far, and ValueError where it is not said
    which is meant: a parameter that was forgotten must not come to mean all.
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
    """Return what the file holds of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def new(
    organizations: list[str], name: str = "", *, erase: bool = False, metrics: bool = False
) -> tuple[str, str]:
    """Return a new token and its entry for the file; without organizations it is for all of them.

    One for ``metrics`` is for nothing else.
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
    lines = [f"{field} = {msgspec.json.encode(value).decode()}" for field, value in _said(entry).items()]
    return token, "\n".join(["[[tokens]]", *lines])


def _said(entry: Token) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(entry).items() if value}
