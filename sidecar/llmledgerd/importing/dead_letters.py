"""Replay of dead letters.

Invariant: a dead letter is deleted only after the daemon has acknowledged its line as durable, and a line
that is sent twice is stored once (see ``session``).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

import msgspec

from llmledgerd.importing.session import Resending
from llmledgerd.records.repeats import REPLAY
from llmledgerd.spool.dead_letters import DeadLetter, line_of

ANSWER_SECONDS = 60.0


class Replayed(msgspec.Struct):
    """Result of a replay: ``sent`` ids are durable, ``cut`` dead letters are truncated."""

    sent: list[str]
    cut: list[str]


def replay(socket_path: Path, letters: Iterable[DeadLetter]) -> Replayed:
    """Send the dead letters to a running daemon. Raises LlmledgerdError if it does not accept them."""
    replayed = Replayed([], [])
    by_service: dict[str, dict[str, tuple[list[str], bytes]]] = {}
    for letter in letters:
        line = line_of(letter)
        if line is None:
            replayed.cut.append(letter.id)
        else:  # once, where two stores have refused it
            place = letter.id.removesuffix(f":{letter.store}")
            ids, _ = by_service.setdefault(letter.service, {}).setdefault(place, ([], line))
            ids.append(letter.id)
    for service, lines in by_service.items():
        with Resending(
            socket_path,
            str(uuid.uuid4()),
            client=REPLAY,
            service=service,
            lines=len(lines),
            answer_seconds=ANSWER_SECONDS,
        ) as session:
            session.send(line for _, line in lines.values())
            session.end(len(lines))
        replayed.sent += [name for ids, _ in lines.values() for name in ids]
    return replayed
