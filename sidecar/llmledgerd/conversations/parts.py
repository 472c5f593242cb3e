"""A request and an answer as lists of parts, for every API that has messages. Pure.

Invariant: nothing here raises, for any bytes, and each byte is decoded once. The shape decides, not the
provider's name. Equal contents have equal hashes, however an SDK spells them: a text alone or in a list of one,
members in any order, arguments as a value or as JSON in a text; marks of what to cache are no content, and the
part before each of them remembers it.

Sources: the API references of OpenAI (Chat Completions, Responses), Anthropic (Messages), Google (Gemini:
generateContent, Interactions), AWS (Bedrock: Converse, InvokeModel), Cohere (v1 and v2 Chat), Mistral, Ollama.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from llmledgerd.conversations.values import as_bytes, content_hash

TOOL: Final = "tool"
SYSTEM: Final = "system"
TEXT: Final = "text"
THINKING: Final = "thinking"
CALL: Final = "call"
RESULT: Final = "result"
SERVER_CALL: Final = "server_call"
SERVER_RESULT: Final = "server_result"
IMAGE: Final = "image"
AUDIO: Final = "audio"
FILE: Final = "file"
REFERENCE: Final = "reference"
OTHER: Final = "other"


_RENDERED: Final = frozenset({TOOL, CALL, RESULT, SERVER_CALL, SERVER_RESULT})


@cache
def _seed(kind: str) -> int:
    """Return the seed of hashes of parts without a name; there are few kinds."""
    return content_hash(f"{kind}\0")


class Part(msgspec.Struct, gc=False):
    """One part of a request or an answer.

    Hash and size are computed when they are asked for, once.
    """

    kind: str
    """``tool`` (a schema), ``system``, ``text``, ``thinking``, ``call`` (of a tool of the sender's), ``result``,
    ``server_call`` and ``server_result`` (the provider runs the tool itself), ``image``, ``audio``, ``file``,
    ``reference`` (to an item that the provider keeps), ``other``."""
    role: str
    """``system``, ``user``, ``assistant`` or ``tool``; "" of tools' schemas."""
    message: int
    """Number of the message among all messages, from 0; -1 of what stands beside them (tools, system)."""
    value: Any
    """The content: a ``str``, or a JSON value. Of a call its arguments, of a result what the tool returned."""
    name: str = ""
    """Of a schema, a call and (where the API says it) a result: the tool's name."""
    id: str = ""
    """Of calls and results: the id that binds them. Of references and messages: the provider's id of the item."""
    mark: str = ""
    """The cache's mark behind this part: its lifetime (``5m``, ``1h``), ``default`` where it names none."""
    is_error: bool | None = None
    """Of a result, and of a call that the provider ran: what the API's own field says; None where it says nothing."""
    written: str = ""
    """Of a call whose arguments are a text: this text."""
    turn: Any = None
    """What ``sayings`` has read of a part that is a turn by itself; shared by all requests that send it."""
    _hash: int = -1
    _size: int = -1

    @property
    def hash(self) -> int:
        """64 bits of kind, name and content; without id and mark. No organization's own: never store it."""
        found = self._hash
        if found < 0:
            kind, value = self.kind, self.value
            if kind == "text" or kind == "system":
                found = content_hash(value)
            elif value.__class__ is str:  # as JSON, a tool's long result costs ten times as much
                found = content_hash(
                    value, content_hash(f"{kind}\0{self.name}") if self.name else _seed(kind)
                )
            else:
                found = content_hash([kind, self.name, value])
            self._hash = found
        return found

    @property
    def spelling(self) -> int:
        """``hash``, and of values that providers render as they come also how they are spelled: the order of members,
        numbers, and of arguments that are a text all of it.

        Source: Anthropic docs, "Prompt caching", on keys of ``tool_use`` blocks whose order changes. SDKs send a
        history as they have sent it before; how they spell an answer for the first time is not compared.
        """
        value = self.value
        if self.kind not in _RENDERED or value.__class__ is str:
            return self.hash
        if self.written:
            return content_hash(self.written, content_hash(f"{self.kind}\0{self.name}"))
        return content_hash([self.kind, self.name, value], spelled=True)

    @property
    def size(self) -> int:
        """Bytes of the content: of a text its UTF-8, of anything else its JSON without white space."""
        found = self._size
        if found < 0:
            value = self.value
            is_ascii = isinstance(value, str) and value.isascii()
            found = self._size = len(value) if is_ascii else len(as_bytes(value))
        return found


class Request(msgspec.Struct, gc=False):
    """A request in parts, and how it names what came before."""

    tools: tuple[Part, ...] = ()
    system: list[Part] = []
    """System prompt or instructions that stand beside the messages; such messages are in ``messages``."""
    messages: list[Part] = []
    """The parts of all messages, in order."""
    previous: str = ""
    """``previous_response_id`` (Responses), ``previous_interaction_id`` (Interactions)."""
    conversation: str = ""
    """The id of a conversation that the provider keeps."""
    is_kept: bool | None = None
    """Responses' ``store``; None where the request does not say it."""
    mark: str = ""
    """The lifetime of a mark of the whole request, behind its last block (Anthropic's automatic caching); ``default``
    where it names none."""
    retention: str = ""
    """``prompt_cache_retention`` (OpenAI)."""
    cached: str = ""
    """The name of the cache's entry that the request begins with (Gemini's ``cachedContent``)."""
    is_plain: bool = False
    """The request has one text, and no list of messages."""
    is_input: bool = False
    """The messages are Responses' or Interactions' ``input``: the provider may keep the answer, and items have ids."""
    known: int = 0
    """Number of the first parts of ``messages`` that were read from another request, which began with equal bytes."""
    notes: dict[Any, Any] = {}
    """What was computed from those parts alone, by whom and for whom; shared by all requests that begin so."""


class Answer(msgspec.Struct, gc=False):
    """An answer in parts."""

    alternatives: list[list[Part]] = []
    """The parts of each alternative; most answers have one."""
    id: str = ""
    """The provider's id of the answer."""
    conversation: str = ""
    """The id of a conversation that the provider keeps."""
    beside: list[Part] = []
    """Calls of tools that the provider ran, with their results, that no message has (``provider_tools``)."""

    @property
    def parts(self) -> list[Part]:
        """The first alternative's."""
        return self.alternatives[0] if self.alternatives else []
