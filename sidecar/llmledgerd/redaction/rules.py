"""Compilation of the settings into rules. All errors of the rules are detected here.

Invariant: a rule that exists can be applied to any bytes in linear time and fails on none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from llmledgerd.config.settings import Config, OwnPattern
from llmledgerd.errors import ConfigError
from llmledgerd.redaction.paths import Path, parse_path
from llmledgerd.redaction.patterns import SETS, SETTINGS, Check, Pattern, Whole

SECRET: Final = frozenset({"api_key", "bearer_token", "private_key"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Rule(msgspec.Struct, frozen=True):
    """One alternative of the combined expression."""

    name: str
    group: int
    """Of the whole match."""
    inner: int
    """Of what is hidden."""
    check: Check | None
    of_value: bool
    whole: Whole | None
    own: bool
    """Whether an operator wrote it: nobody knows then what it may match."""
    label: bytes

    @property
    def secret(self) -> bool:
        """Whether what it finds opens something, and is not a person's."""
        return not self.own and self.name in SECRET

    @property
    def wraps(self) -> bool:
        """Whether what it finds may have been broken over two lines, where a terminal is narrow."""
        return self.secret and self.whole is not None


class Expression(msgspec.Struct, frozen=True):
    """Some patterns as one expression, which costs one pass however many they are."""

    engine: Any
    """RE2's, which has no types."""
    rules: tuple[Rule, ...]
    alone: tuple[Any, ...]
    """The same patterns, each by itself, in the order of the rules."""


class Patterns(msgspec.Struct, frozen=True):
    """All patterns: those of secrets, and the rest.

    Together each short match, such as a key's beginning, would wait for the longer ones that began before it,
    an address say, and what lies behind it be looked through again, in a time that is quadratic; and an
    address that ends in a token would take the token's beginning.
    """

    expressions: tuple[Expression, ...]


class Rules(msgspec.Struct, frozen=True):
    """All that is to be hidden or cut."""

    patterns: Patterns | None = None
    keys: frozenset[str] = frozenset()
    paths: tuple[Path, ...] = ()
    limits: tuple[tuple[Path, int], ...] = ()
    """Where strings are cut, and at how many bytes."""


def compiled(config: Config) -> Rules:
    """Return the rules that the settings name. Raises ConfigError, which names the one at fault."""
    return Rules(
        _patterns(config),
        frozenset(key.lower() for key in config.redact_keys),
        tuple(parse_path("redact_paths", path) for path in config.redact_paths),
        tuple(
            (parse_path("truncate_payload_bytes", path), limit)
            for path, limit in config.truncate_payload_bytes.items()
        ),
    )


def _patterns(config: Config) -> Patterns | None:
    wanted = [(name, pattern, False) for name in _sets(config) for pattern in SETS[name]]
    wanted += [(own.name, Pattern(own.pattern), True) for own in config.redaction_patterns]
    if not wanted:
        return None
    groups: dict[bool, list[tuple[str, Pattern, bool]]] = {}
    for name, pattern, own in wanted:
        groups.setdefault(name in SECRET and not own, []).append((name, pattern, own))
    return Patterns(tuple(_expression(some) for _, some in sorted(groups.items())))


def _expression(wanted: Sequence[tuple[str, Pattern, bool]]) -> Expression:
    re2 = _engine()
    options = re2.Options()
    options.never_nl = True
    options.log_errors = False
    rules: list[Rule] = []
    alone: list[Any] = []
    group = 1
    for name, pattern, own in wanted:
        alone.append(_alone(re2, options, name, pattern.expression))
        groups = int(alone[-1].groups)
        inner = group + 1 if groups else group
        label = b"[redacted:%s]" % name.encode()
        rules.append(Rule(name, group, inner, pattern.check, pattern.of_value, pattern.whole, own, label))
        group += 1 + groups
    combined = "|".join(f"({pattern.expression})" for _, pattern, _ in wanted)
    return Expression(
        _compile(re2, combined, options, "redaction_patterns, together"), tuple(rules), tuple(alone)
    )


def _sets(config: Config) -> list[str]:
    unknown = [name for name in config.redact if name not in SETTINGS]
    if unknown:
        raise ConfigError(f"redact: unknown set `{unknown[0]}`; choose from {', '.join(SETTINGS)}")
    for own in config.redaction_patterns:
        _check_name(own)
    return [SETTINGS[name] for name in dict.fromkeys(config.redact)]


def _check_name(own: OwnPattern) -> None:
    if not _NAME.fullmatch(own.name):
        raise ConfigError(
            f"redaction_patterns: `{own.name}` is not a valid name (use lower-case letters, digits and _)"
        )


def _engine() -> Any:
    try:
        import re2  # type: ignore[import-untyped]  # ships no types
    except ImportError as error:
        raise ConfigError(
            f"redaction needs google-re2, the extra `redaction` of this distribution ({error})"
        ) from None
    return re2


def _alone(re2: Any, options: Any, name: str, expression: str) -> Any:
    """Return one expression, checked alone, so that the culprit is named."""
    alone = _compile(re2, expression, options, f"redaction_patterns: `{name}`")
    if alone.search(b"") is not None:
        raise ConfigError(f"redaction_patterns: `{name}` matches the empty string")
    return alone


def _compile(re2: Any, expression: str, options: Any, where: str) -> Any:
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        said = error.args[0] if error.args else b""
        reason = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise ConfigError(f"{where}: invalid RE2 pattern: {reason}") from None
