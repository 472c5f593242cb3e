"""Object storage in a dictionary, for decisions that need none: its clock is set by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from llmledgerd.errors import OBJECT_STORAGE, ObjectGone, StoreBusy
from llmledgerd.payloads.objects import Found, Objects


class MemoryObjects(Objects):
    """The same methods as ``Objects``, over ``content``; names in ``failing`` cannot be stored."""

    def __init__(self) -> None:
        self.base = "memory://"
        self.content: dict[str, bytes] = {}
        self.stored_at: dict[str, datetime] = {}
        self.now = datetime.now(UTC)
        self.failing: set[str] = set()
        self.writes: list[str] = []
        self.settled: set[str] = set()

    async def create(self, name: str, content: bytes) -> bool:
        if name in self.content:
            return False
        await self.put(name, content)
        return True

    async def put(self, name: str, content: bytes, media_type: str = "") -> None:
        if name in self.failing:
            raise StoreBusy(OBJECT_STORAGE, f"cannot store {name}")
        self.content[name], self.stored_at[name] = content, self.now
        self.writes.append(name)

    async def get(self, name: str) -> bytes:
        return self.read(name)

    async def found(self, name: str) -> Found | None:
        if name not in self.stored_at:
            return None
        return Found(name, len(self.content[name]), self.stored_at[name])

    def read(self, name: str) -> bytes:
        if name not in self.content:
            raise ObjectGone(name)
        return self.content[name]

    def folders(self, prefix: str) -> list[str]:
        return sorted(
            {"/".join(name.split("/")[:2]) for name in self.content if name.startswith(f"{prefix}/")}
        )

    def pages(self, prefix: str) -> Iterator[list[Found]]:
        for name in sorted(self.content):
            if name.startswith(f"{prefix}/"):
                yield [Found(name, len(self.content[name]), self.stored_at[name])]

    def delete(self, found: Sequence[str]) -> None:
        for name in found:
            del self.content[name]

    async def settle(self, stored: Iterable[str]) -> None:
        self.settled |= set(stored)
