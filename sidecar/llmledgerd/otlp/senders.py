"""Who sends over OTLP, and what was made of it: for ``llmledger otlp``. Pure.

Invariant: memory is bounded whatever is sent, and examples hold names, never values: what was not understood may be
anybody's text.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from llmledgerd.otlp.calls import Reading
from llmledgerd.otlp.reading import text
from llmledgerd.otlp.signals import Signal, Span
from llmledgerd.printable import one_line
from llmledgerd.telemetry.status import OtlpPuzzle, OtlpSender

MOST_SENDERS: Final = 100
MOST_PUZZLES: Final = 20
OTHER: Final = "other"
NAME_CHARACTERS: Final = 100
EXAMPLE_CHARACTERS: Final = 300
NO_MODELS: Final = "no convention for models"


class Senders:
    """Counters by service, emitter and version, since the start."""

    def __init__(self) -> None:
        self._senders: dict[tuple[str, str, str], OtlpSender] = {}

    def note(self, signal: Signal, reading: Reading, *, is_row: bool) -> None:
        """Count one signal."""
        sender = self._sender(signal, reading)
        if isinstance(signal, Span):
            sender.spans += 1
        else:
            sender.log_records += 1
        if is_row:
            sender.rows += 1
        elif reading.call is not None:
            sender.covered += 1
        if reading.puzzle:
            _puzzle(sender, reading.puzzle, signal)

    def all(self) -> list[OtlpSender]:
        """Return the senders, those with the most signals first."""
        return sorted(self._senders.values(), key=lambda one: -(one.spans + one.log_records))

    def _sender(self, signal: Signal, reading: Reading) -> OtlpSender:
        origin = signal.origin
        service = _named(text(origin.resource, "service.name"))
        scope = _named(origin.scope) or reading.emitter
        key = (service, scope, _named(origin.version))
        if key not in self._senders and len(self._senders) >= MOST_SENDERS:
            key = (OTHER, OTHER, "")
        found = self._senders.get(key)
        if found is None:
            found = self._senders[key] = OtlpSender(service=key[0], emitter=key[1], version=key[2])
        if reading.emitter:
            found.convention = reading.emitter
        return found


def _puzzle(sender: OtlpSender, what: str, signal: Signal) -> None:
    for known in sender.puzzles:
        if known.what == what:
            known.count += 1
            return
    if len(sender.puzzles) >= MOST_PUZZLES:
        what = OTHER
        if sender.puzzles[-1].what == OTHER:
            sender.puzzles[-1].count += 1
            return
    sender.puzzles.append(
        OtlpPuzzle(what=_named(what), count=1, example=_example(signal.name, signal.attributes))
    )


def _example(name: str, attributes: Iterable[str]) -> str:
    said = f"{_named(name)}: {', '.join(sorted(attributes))}"
    return one_line(said)[:EXAMPLE_CHARACTERS]


def _named(found: str) -> str:
    return _cleaned(found[:NAME_CHARACTERS])


@lru_cache(4 * MOST_SENDERS)  # the same three names come with every span
def _cleaned(start: str) -> str:
    return one_line(start)[:NAME_CHARACTERS]
