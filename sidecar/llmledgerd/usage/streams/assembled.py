"""Assembled stream: the result of every family's ``assemble``, and the joining of chunks.

Invariant: nothing is added twice and nothing that was sent is lost. Texts are joined, identifying
words (role, type, id) are kept once, later values win over earlier ones, and anything over null.
The work is linear in the stream: pieces of text are collected and joined once.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmledgerd.usage.decode import Members, encode, is_json

KEPT_ONCE = frozenset(
    {"id", "type", "role", "name", "format", "object", "model", "status", "channel", "tool_call_id"}
)
"""Texts that are names: senders repeat them in every chunk, or send them once; never in pieces."""


_INDEXES = int, float, str, type(None)
"""What an item's index may be; a list or an object is none, and so is every item under it a new one."""


class Pieces:
    """A text that is still arriving: to encode it is to join it."""

    __slots__ = ("_texts", "append")

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self.append = texts.append

    def __str__(self) -> str:
        return "".join(self._texts)


class Whole(msgspec.Struct, kw_only=True):
    """Response object assembled from a stream's events."""

    response: Members
    """Response of the same call without streaming, by top-level member."""
    beside: Members = {}
    """Members outside of the response (usage, model, error), for the facts alone."""
    complete: bool = False
    """Whether the terminal event arrived."""
    usage_is_final: bool = True
    """The usage is the call's, and not a count from its middle."""
    choices_may_follow: bool = False
    """Nothing but the request tells how many choices there are: some may not have begun."""


def encoded(fields: dict[str, Any]) -> Members:
    """Return each member as JSON."""
    return {name: encode(field) for name, field in fields.items()}


def add_text(into: dict[str, Any], name: str, piece: str) -> None:
    """Append a piece to a text; another value is replaced."""
    old = into.get(name)
    if isinstance(old, Pieces):
        old.append(piece)
    else:
        into[name] = Pieces([old, piece] if isinstance(old, str) else [piece])


def inside(into: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the object at a name, created if missing."""
    if not isinstance(into.get(name), dict):
        into[name] = {}
    found: dict[str, Any] = into[name]
    return found


def listed(into: dict[str, Any], name: str) -> list[Any]:
    """Return the list at a name, created if missing."""
    if not isinstance(into.get(name), list):
        into[name] = []
    found: list[Any] = into[name]
    return found


def merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    """Merge a chunk into the earlier ones. The caller must not use ``delta`` afterwards."""
    waiting = [(into, delta)]
    while waiting:
        target, source = waiting.pop()
        for name, new in source.items():
            old = target.get(name)
            if isinstance(old, dict) and isinstance(new, dict):
                waiting.append((old, new))
            elif new is not None or name not in target:
                _set(target, name, old, new)


def _set(target: dict[str, Any], name: str, old: Any, new: Any) -> None:
    if isinstance(new, str) and isinstance(old, str | Pieces):
        if name not in KEPT_ONCE:
            add_text(target, name, new)
        elif new:
            target[name] = new
    elif old and (isinstance(old, list | Pieces) or isinstance(new, list)):
        target[name] = merged = old if isinstance(old, Items) else Items(_as_parts(old))
        merged.go_on(_as_parts(new))
    else:
        target[name] = new


def _as_parts(content: Any) -> list[Any]:
    """Return content as a list of parts; Mistral changes from text to parts within a stream."""
    if isinstance(content, Pieces):
        content = str(content)
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


class Items(list[Any]):
    """A list that is still arriving, with the last item of each index at hand: there may be many."""

    def __init__(self, items: list[Any]) -> None:
        super().__init__(items)
        self._by_index: dict[Any, dict[str, Any]] = {}
        for item in items:
            self._note(item)

    def go_on(self, delta: list[Any]) -> None:
        """Add a chunk's items: by ``index`` where items have one, else at the end."""
        for new in delta:
            old = self._counterpart(new)
            if old is None:
                self.append(new)
                self._note(new)
            else:
                merge(old, new)

    def _note(self, item: Any) -> None:
        if isinstance(item, dict) and "index" in item and isinstance(item["index"], _INDEXES):
            self._by_index[item["index"]] = item

    def _counterpart(self, new: Any) -> dict[str, Any] | None:
        """Return the item that a chunk's item continues, or None for a new one.

        A different id is a different item even under the same index: some servers number every tool
        call 0. Parts without an index go on with the last one when it is text of the same type.
        """
        if not isinstance(new, dict):
            return None
        if "index" in new:
            index = new["index"]
            old = self._by_index.get(index) if isinstance(index, _INDEXES) else None
            return old if old is not None and _may_be_one(old.get("id"), new.get("id")) else None
        last = self[-1] if self and isinstance(self[-1], dict) else {}
        is_text = new.get("type") in ("text", "thinking") and new.get("type") == last.get("type")
        return last if is_text and "id" not in new else None


def _may_be_one(old_id: Any, new_id: Any) -> bool:
    return not old_id or not new_id or bool(old_id == new_id)


def parsed(arguments: str) -> Any:
    """Return a tool call's arguments as JSON, or as text if they were cut."""
    if not arguments:
        return {}
    return msgspec.Raw(arguments.encode()) if is_json(arguments) else arguments
