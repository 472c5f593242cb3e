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
    """Number of the group of the whole match."""
    inner: int
    """Number of the group that is masked."""
    check: Check | None
    of_value: bool
    whole: Whole | None
    own: bool
    """Whether an operator wrote it, so that its matches are unpredictable."""
    label: bytes

    @property
    def secret(self) -> bool:
        """Whether its matches are credentials, and not personal data."""
        return not self.own and self.name in SECRET

    @property
    def wraps(self) -> bool:
        """Whether a terminal may have wrapped its matches over two lines."""
        return self.secret and self.whole is not None


class Expression(msgspec.Struct, frozen=True):
    """Patterns combined into one expression, which needs one pass for any number."""

    engine: Any
    """Compiled expression of RE2, which has no types."""
    rules: tuple[Rule, ...]
    alone: tuple[Any, ...]
    """The same patterns separately, in the order of the rules."""


class Patterns(msgspec.Struct, frozen=True):
    """All patterns: those of secrets, and the rest.

    In one expression, a short match such as a key's prefix would wait for longer ones that began before it,
    such as an address, and the text after it would be searched again, in quadratic time. And an address that
    ends in a token would include the token's prefix.
    """

    expressions: tuple[Expression, ...]


class Rules(msgspec.Struct, frozen=True):
    """Compiled rules of masking and truncation."""

    patterns: Patterns | None = None
    keys: frozenset[str] = frozenset()
    paths: tuple[Path, ...] = ()
    limits: tuple[tuple[Path, int], ...] = ()
    """Paths whose strings are truncated, and their limits in bytes."""


def compiled(config: Config) -> Rules:
    """Compile the rules in the settings. Raises ConfigError, which names the invalid rule."""
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
    """Compile one expression separately, so that an error names it."""
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
