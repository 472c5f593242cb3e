"""How well calls are put together: pairwise F1 of runs, and the share of calls whose parent is right."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Sequence

from llmledgerd.conversations import identity_of, read_answer, read_request
from tests.helpers.followed_runs import Place, Step, places
from tests.helpers.simulated_runs import Call


def step_of(call: Call, number: int, organization: str = "acme") -> Step:
    """Return what the row of a call says of what it continues."""
    response = b"" if call.response is None else json.dumps(call.response).encode()
    request = read_request(json.dumps(call.request).encode())
    found = identity_of(request, read_answer(response), organization, number, number)
    return Step(
        organization,
        found.conversation_id,
        found.turn_id,
        found.parent_turn_id,
        found.turn_names,
        found.opening_names,
        number,
    )


def placed(calls: Sequence[Call]) -> list[Place]:
    return places([step_of(call, number) for number, call in enumerate(calls)])


def pairwise_f1(truth: Sequence[Hashable], found: Sequence[Hashable]) -> float:
    both = _pairs(list(zip(truth, found, strict=True)))
    return 2 * both / ((_pairs(truth) + _pairs(found)) or 1)


def _pairs(labels: Sequence[Hashable]) -> int:
    return sum(size * (size - 1) // 2 for size in Counter(labels).values())


def is_right(call: Call, place: Place) -> bool:
    """Whether the call is said to continue what it continues; a compacted history names its origin."""
    if not call.parents:
        return place.parent < 0
    return place.parent in call.parents or (place.parent < 0 and place.origin in call.parents)
