"""Registry of connections by sender, and the order in which they are read.

Invariant: once a sender has used its share, all of its connections are paused; when it may continue,
the connections that waited longest are read first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Generic, Protocol, TypeVar


class Connection(Hashable, Protocol):
    """Interface of a connection."""

    @property
    def sender(self) -> Hashable: ...
    @property
    def account(self) -> Hashable: ...

    def may_read(self) -> bool:
        """Return whether reading is allowed now."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Continue reading."""


C = TypeVar("C", bound=Connection)


class Peers(Generic[C]):
    """Accepted connections."""

    def __init__(self) -> None:
        self._senders: dict[Hashable, dict[C, None]] = {}
        self._paused: dict[C, None] = {}
        self._accounts: Counter[Hashable] = Counter()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[C]:
        """Iterate over a copy, so that connections may be added and removed meanwhile."""
        return iter([peer for mine in self._senders.values() for peer in mine])

    def count(self, account: Hashable) -> int:
        """Return how many connections a process, or a user, has."""
        return self._accounts[account]

    def add(self, peer: C) -> None:
        self._senders.setdefault(peer.sender, {})[peer] = None
        self._accounts[peer.account] += 1
        self._size += 1

    def discard(self, peer: C) -> None:
        mine = self._senders.get(peer.sender, {})
        if peer not in mine:
            return
        del mine[peer]
        self._paused.pop(peer, None)
        self._accounts[peer.account] -= 1
        self._size -= 1
        if not mine:
            del self._senders[peer.sender]
        if not self._accounts[peer.account]:
            del self._accounts[peer.account]

    def has_read(self, peer: C) -> None:
        """Move the connection behind the sender's others, and pause all if the share is used up."""
        mine = self._senders.get(peer.sender, {})
        if peer not in mine:
            return
        del mine[peer]
        mine[peer] = None
        if not peer.may_read():
            for each in mine:
                self._pause_if_full(each)

    def resume(self) -> None:
        """Resume all connections that may read."""
        for peer in [peer for peer in self._paused if peer.may_read()]:
            del self._paused[peer]
            peer.resume()

    def _pause_if_full(self, peer: C) -> None:
        if peer not in self._paused and not peer.may_read():
            self._paused[peer] = None
            peer.pause()
