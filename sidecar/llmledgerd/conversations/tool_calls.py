"""Calls of tools: those that an answer asks for, and the results that a request brings. Pure.

Invariant: a call and its result have the same key, computed from one row's bytes each, so that they are joined
without payloads. What is returned is bounded, whatever the bytes hold; nothing raises.

The key of an id that a provider made at random is the id's alone. Other ids (``call_0``, counted by a server or an
SDK) and calls of APIs without ids (Gemini: by name and order) are the asking turn's: its ``turn_id``, which is the
``parent_turn_id`` of the request that brings the result.

A call that the provider ran itself has its result in the row that has the call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final

import msgspec
import xxhash

from llmledgerd.conversations import parts
from llmledgerd.conversations.identity import Identity
from llmledgerd.conversations.parts import Answer, Part, Request
from llmledgerd.conversations.prompt_blocks import estimated
from llmledgerd.conversations.provided_ids import provided_ids
from llmledgerd.conversations.provider_tools import Ran, opened, ran_by_provider
from llmledgerd.conversations.token_families import Family
from llmledgerd.conversations.token_weights import value_tokens
from llmledgerd.conversations.tool_errors import API_ERROR, BY_PROVIDER, NO_ERROR, TEXT_ERROR, reads_as_error
from llmledgerd.conversations.values import seed_of

MOST_CALLS: Final = 256
"""Limit of calls, and of results, that a row lists."""

MOST_TOOLS: Final = 64
"""Limit of tools in ``tokens_by_tool``; what the others' results took is the tool ""."""

LONGEST_NAME: Final = 128
LONGEST_ID: Final = 128

_PROVIDERS: Final = frozenset({parts.RESULT, parts.SERVER_CALL, parts.SERVER_RESULT})
"""Kinds of parts that have results; in answers those of what the provider ran."""

_INTERLEAVED: Final = 16
"""How many results are taken as new where each stands right behind its call: items of Responses do not say
which of them one answer asked for. The first request that brings a result counts, so that too many cost nothing but
space."""

_UINT32: Final = (1 << 32) - 1

Asked = tuple[int, str, str, int, int]
"""A call that an answer asks for: key, id, name, hash of name and arguments, bytes of the arguments."""

Brought = tuple[int, int, int]
"""A result that is new in a request: the call's key, bytes, NO_ERROR, API_ERROR or TEXT_ERROR. With BY_PROVIDER added
one of the answer's own calls, which the provider ran."""

_UNSTORABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_hash: Callable[[bytes, int], int] = xxhash.xxh3_64_intdigest


class ToolCalls(msgspec.Struct, frozen=True, gc=False):
    """The columns ``tool_calls``, ``tool_results`` and ``tokens_by_tool``."""

    asked: tuple[Asked, ...] = ()
    brought: tuple[Brought, ...] = ()
    tokens: dict[str, int] = {}


class _Results(msgspec.Struct, frozen=True, gc=False):
    """About how many tokens the results in parts of messages take. Never to be changed."""

    message: int = -1
    """Number of the last part's message."""
    names: dict[str, str] = {}
    """Of tools, by the ids of calls."""
    tokens: dict[str, float] = {}
    """Estimates by the tool's name; empty without results."""


_NO_RESULTS: Final = _Results()

NONE: Final = ToolCalls()


def tool_calls_of(
    request: Request,
    answer: Answer,
    *,
    organization: str,
    identity: Identity,
    family: Family,
    scale: float,
    is_whole: bool,
) -> ToolCalls:
    """Return the calls and results of one call of a model.

    ``scale``: the prompt's tokens for each estimated one. ``is_whole``: the answer arrived whole; a call whose arguments were cut off was asked of nobody.
    """
    calls, ran = _calls(answer)
    begun = _sent_results(request, family) if request.known else _NO_RESULTS
    new = request.messages[request.known :]
    has_results = bool(begun.tokens) or not _PROVIDERS.isdisjoint([part.kind for part in new])
    if not calls and not ran and not has_results:
        return NONE
    seed = seed_of(organization)
    every = [*calls, *(one.call for one in ran)]
    asked = _asked(every, identity.turn_id, seed, is_whole=is_whole)
    brought = _brought(request, identity.parent_turn_id, seed) if has_results else ()
    return ToolCalls(
        asked=tuple(asked.values()),
        brought=(brought + _ran(every, ran, asked, identity.turn_id, seed))[:MOST_CALLS] if ran else brought,
        tokens=_tokens(_results(begun, new, family).tokens, scale) if has_results else {},
    )


def _calls(answer: Answer) -> tuple[list[Part], list[Ran]]:
    """Return the calls that an answer leaves to the sender, and those that the provider ran."""
    kinds = {part.kind for said in answer.alternatives for part in said}
    calls = (
        [part for said in answer.alternatives for part in said if part.kind == "call"]
        if "call" in kinds
        else []
    )
    if _PROVIDERS.isdisjoint(kinds) and not answer.beside:
        return calls, []
    ran = [one for said in (*answer.alternatives, answer.beside) for one in ran_by_provider(said)]
    theirs = {id(one.call) for one in ran}
    return [part for part in calls if id(part) not in theirs], ran


def _ran(
    calls: Sequence[Part], ran: Sequence[Ran], asked: dict[int, Asked], turn_id: str, seed: int
) -> tuple[Brought, ...]:
    """Return the results of the last ones of these calls, which the provider ran."""
    found: dict[int, Brought] = {}
    for one, own_id in zip(ran, _ids(calls)[len(calls) - len(ran) :], strict=True):
        key = _key(seed, turn_id, own_id, one.call.name)
        if key and key in asked:
            found.setdefault(key, (key, min(one.result_bytes, _UINT32), one.error + BY_PROVIDER))
    return tuple(found.values())


def _asked(calls: Sequence[Part], turn_id: str, seed: int, *, is_whole: bool) -> dict[int, Asked]:
    found: dict[int, Asked] = {}
    for part, own_id in zip(calls, _ids(calls), strict=True):
        if not is_whole and isinstance(part.value, str) and part.value:
            continue
        key = _key(seed, turn_id, own_id, part.name)
        if key in found or len(found) == MOST_CALLS:
            continue
        size = min(0 if part.value == {} else part.size, _UINT32)
        found[key] = (
            key,
            _clean(own_id[:LONGEST_ID]),
            _clean(part.name[:LONGEST_NAME]),
            _hash(b"%d" % part.hash, seed),
            size,
        )
    return found


def _clean(text: str) -> str:
    """Return a name without what a store cannot hold."""
    return (
        text if text.isascii() and text.isprintable() else _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    )


def _ids(calls: Sequence[Part]) -> list[str]:
    """Return the ids of an answer's calls; of a call without one its name, and which of that name it is."""
    counts: dict[str, int] = {}
    found = []
    for part in calls:
        if part.id:
            found.append(part.id)
        else:
            number = counts.get(part.name, 0)
            found.append(f"{part.name[:LONGEST_NAME]}#{number}")
            counts[part.name] = number + 1
    return found


def _key(seed: int, turn_id: str, own_id: str, name: str) -> int:
    """Return a call's key; 0 where nothing tells it from others."""
    if provided_ids([Part(parts.CALL, "", 0, None, name, own_id)]):
        return _hash(own_id.encode("utf-8", "replace"), seed)
    if not turn_id:
        return 0
    return _hash(f"{turn_id}\0{own_id}".encode("utf-8", "replace"), seed)


def _brought(request: Request, parent_turn_id: str, seed: int) -> tuple[Brought, ...]:
    results, calls = _new(request)
    found: dict[int, Brought] = {}
    for part, (own_id, name) in zip(results, _answered(results, calls), strict=True):
        key = _key(seed, parent_turn_id, own_id, name)
        if key and key not in found and len(found) < MOST_CALLS:
            found[key] = (key, min(part.size, _UINT32), _error(part))
    return tuple(found.values())


def _new(request: Request) -> tuple[list[Part], list[Part]]:
    """Return the results behind what the assistant said last, and the calls of that; both in order."""
    messages = request.messages
    results: list[Part] = []
    at = _begun(messages)
    while at and messages[at - 1].role != "assistant":
        at -= 1
        if messages[at].kind == parts.RESULT:
            results.append(messages[at])
    calls: list[Part] = []
    while at and messages[at - 1].role == "assistant":
        at -= 1
        if messages[at].kind != parts.CALL:
            continue
        calls.append(messages[at])
        if request.is_input and _is_between_results(messages, at) and len(results) < _INTERLEAVED:
            at -= 1
            results.append(messages[at])
    return results[::-1], calls[::-1]


def _begun(messages: Sequence[Part]) -> int:
    """Return the end of the messages without an answer that the request has begun itself (a prefill)."""
    end = len(messages)
    while end and messages[end - 1].role == "assistant" and messages[end - 1].kind == parts.TEXT:
        end -= 1
    return end if end and messages[end - 1].role != "assistant" else len(messages)


def _is_between_results(messages: Sequence[Part], at: int) -> bool:
    """Return whether this call stands alone between results, as an item of Responses may."""
    return (
        0 < at < len(messages) - 1
        and messages[at - 1].kind == parts.RESULT
        and messages[at + 1].kind == parts.RESULT
        and messages[at + 1].id == messages[at].id
    )


def _answered(results: Sequence[Part], calls: Sequence[Part]) -> list[tuple[str, str]]:
    """Return id and name of the call that each result answers.

    A result without an id answers the first open call of its name, or else the first that is open: APIs without
    ids, and harnesses that leave names out, send results in the order of the calls.
    """
    names = {part.id: part.name for part in calls if part.id}
    if all(part.id for part in results):
        return [(part.id, names.get(part.id, part.name)) for part in results]
    open_calls = dict(zip(_ids(calls), (part.name for part in calls), strict=True))
    counts: Counter[str] = Counter()
    found = []
    for part in results:
        if part.id:
            open_calls.pop(part.id, None)
            found.append((part.id, names.get(part.id, part.name)))
            continue
        own = next((one for one, name in open_calls.items() if name == part.name), None)
        if own is None and not part.name:
            own = next(iter(open_calls), None)
        if own is None:
            own = f"{part.name[:LONGEST_NAME]}#{counts[part.name]}"
        counts[part.name] += 1
        found.append((own, open_calls.pop(own, part.name)))
    return found


def _error(result: Part) -> int:
    if result.is_error is not None:
        return API_ERROR if result.is_error else NO_ERROR
    return TEXT_ERROR if reads_as_error(result.value) else NO_ERROR


def _sent_results(request: Request, family: Family) -> _Results:
    """Return the results that other requests have sent."""
    found: _Results | None = request.notes.get(family)
    if found is None:
        found = request.notes[family] = _results(_NO_RESULTS, request.messages[: request.known], family)
    return found


def _results(before: _Results, messages: Sequence[Part], family: Family) -> _Results:
    """Return the results with those of further parts."""
    message, names, tokens = before.message, before.names.copy(), before.tokens.copy()
    for part in messages:
        kind = part.kind
        if kind == "call":
            names[part.id] = part.name
        elif kind == "server_call":
            call, inside = opened(part)
            names[part.id] = call.name
            if inside is not None:
                tokens[call.name] = tokens.get(call.name, 0.0) + value_tokens(inside, family)
        elif kind == "result" or kind == "server_result":
            name = (part.id and names.get(part.id)) or part.name.removesuffix("_tool_result")
            around = family.message if part.message != message else 0.0
            tokens[name] = tokens.get(name, 0.0) + around + estimated(part, family, part.spelling)
        message = part.message
    return _Results(message, names, tokens)


def _tokens(estimates: dict[str, float], scale: float) -> dict[str, int]:
    """Return the tokens of the prompt that are results of tools, by tool."""
    if len(estimates) > MOST_TOOLS:
        largest = dict(sorted(estimates.items(), key=itemgetter(1), reverse=True)[: MOST_TOOLS - 1])
        largest[""] = largest.get("", 0.0) + sum(estimates.values()) - sum(largest.values())
        estimates = largest
    found: dict[str, int] = {}
    for name, estimate in estimates.items():
        if tokens := round(estimate * scale):
            stored = _clean(name[:LONGEST_NAME])
            found[stored] = min(found.get(stored, 0) + tokens, _UINT32)
    return found
