"""All connections, by sender, and in which order they read.

Invariant: as soon as a sender has its share, none of its connections is read from; when it may go on,
those that waited longest come first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Generic, Protocol, TypeVar


class Connection(Hashable, Protocol):
    """What is needed of a connection."""

    @property
    def sender(self) -> Hashable: ...
    @property
    def account(self) -> Hashable: ...

    def may_read(self) -> bool:
        """Return whether it may be read from."""

    def pause(self) -> None:
        """Read no more."""

    def resume(self) -> None:
        """Read on."""


C = TypeVar("C", bound=Connection)


class Peers(Generic[C]):
    """The connections that were let in."""

    def __init__(self) -> None:
        self._senders: dict[Hashable, dict[C, None]] = {}
        self._paused: dict[C, None] = {}
        self._accounts: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return self._accounts.total()

    def __iter__(self) -> Iterator[C]:
        """Go through a copy, so that they may come and leave meanwhile."""
        return iter([peer for mine in self._senders.values() for peer in mine])

    def count(self, account: Hashable) -> int:
        """Return how many connections a process, or a user, has."""
        return self._accounts[account]

    def add(self, peer: C) -> None:
        self._senders.setdefault(peer.sender, {})[peer] = None
        self._accounts[peer.account] += 1

    def discard(self, peer: C) -> None:
        mine = self._senders.get(peer.sender, {})
        if peer not in mine:
            return
        del mine[peer]
        self._paused.pop(peer, None)
        self._accounts[peer.account] -= 1
        if not mine:
            del self._senders[peer.sender]
        if not self._accounts[peer.account]:
            del self._accounts[peer.account]

    def has_read(self, peer: C) -> None:
        """Let the sender's other connections come first, and stop them all where it has its share."""
        mine = self._senders.get(peer.sender, {})
        if peer not in mine:
            return
        del mine[peer]
        mine[peer] = None
        if not peer.may_read():
            for each in mine:
                self._pause_if_full(each)

    def resume(self) -> None:
        """Let everybody go on who may."""
        for peer in [peer for peer in self._paused if peer.may_read()]:
            del self._paused[peer]
            peer.resume()

    def _pause_if_full(self, peer: C) -> None:
        if peer not in self._paused and not peer.may_read():
            self._paused[peer] = None
            peer.pause()
