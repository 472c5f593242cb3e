"""What is remembered of blocks that were sent before (``conversations.prompt_blocks``)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmledgerd.conversations import Request, identity_of, read_answer, read_request, requests, tool_calls_of
from llmledgerd.conversations.cache_misses import Counts
from llmledgerd.conversations.prefixes import Prefixes
from llmledgerd.conversations.prompt import Prompt, prompt_of
from llmledgerd.conversations.token_families import family_of
from llmledgerd.conversations.tool_calls import ToolCalls

COUNTS = Counts(50_000, 20_000, 1_000)
ANSWER = read_answer(b'{"role": "assistant", "content": [{"type": "text", "text": "Done."}]}')


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_prefixes", Prefixes())


def _step(step: int) -> list[dict[str, Any]]:
    """Return what one step of an agent adds, in Anthropic's form: results, files, marks, and a call."""
    mark = {"cache_control": {"type": "ephemeral"}} if step % 5 == 3 else {}
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo" * 30},
    }
    call = {"type": "tool_use", "id": f"toolu_{step:024d}", "name": f"tool{step % 3}", "input": {"at": step}}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": f"found {step} " * 90}
    return [
        {"role": "assistant", "content": [{"type": "text", "text": f"Step {step}."}, call]},
        {"role": "user", "content": [result, image, {"type": "text", "text": f"And {step}? " * 20, **mark}]},
    ]


def _request(steps: int, *, has_system: bool) -> bytes:
    messages: list[Any] = [{"role": "system", "content": "You answer. " * 50}] if has_system else []
    messages.append({"role": "user", "content": "Begin. " * 300})
    for step in range(steps):
        messages += _step(step)
    return json.dumps({"model": "claude-sonnet-4-5", "messages": messages}).encode()


def _columns(request: Request, organization: str, model: str) -> tuple[Prompt, ToolCalls]:
    identity = identity_of(request, ANSWER, organization)
    prompt = prompt_of(request, organization, COUNTS, provider="", model=model)
    tools = tool_calls_of(
        request,
        ANSWER,
        organization=organization,
        identity=identity,
        family=family_of("", model),
        scale=prompt.scale,
        is_whole=True,
    )
    return prompt, tools


@pytest.mark.parametrize("has_system", [False, True])
def test_a_history_that_was_sent_before_has_the_same_columns(*, has_system: bool) -> None:
    used = 0
    for steps in (*range(60), 700, 701, 702, 703):
        sent = _request(steps, has_system=has_system)
        afresh = requests._request(requests._decode_root(sent))
        for organization in ("one", "two"):
            for model in ("claude-sonnet-4-5", "gpt-4o"):
                request = read_request(sent)
                used += request.known > 0
                assert _columns(request, organization, model) == _columns(afresh, organization, model)
    assert used > 100


def test_the_last_answer_is_found_within_a_history_that_was_sent_before() -> None:
    sent = [
        _request(20, has_system=False)[:-2]
        + b"".join(b', {"role": "user", "content": "%d"}' % at for at in range(n))
        + b"]}"
        for n in (0, 0, 0, 400, 800, 800, 800)
    ]
    afresh = [requests._request(requests._decode_root(one)) for one in sent]
    read = [read_request(one) for one in sent]
    assert read[-1].known > read[0].known + 100
    for one, other in zip(read, afresh, strict=True):
        assert _columns(one, "one", "claude-sonnet-4-5") == _columns(other, "one", "claude-sonnet-4-5")


def test_notes_of_a_history_are_bounded() -> None:
    sent = _request(40, has_system=False)
    for number in range(40):
        request = read_request(sent)
        _columns(request, f"organization {number}", "gpt-4o")
    assert 0 < len(request.notes) <= 5
