"""What a row costs: usage and row building beside decoding the same bytes into untyped objects.

The baseline is run beside the rest in turns, so that both meet the same noise; figures are medians
in microseconds. `python bench/rows.py [seconds per size]`

"parts", "identity" and "prompt" are of what a row says of its conversation, the prompt's after its parts were sent
before. "group" is usage+row of each of the records that the daemon reads together.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable

import msgspec

from llmledger.protocol import Record
from llmledgerd.conversations import identity_of, read_answer, read_request
from llmledgerd.conversations.cache_misses import Counts
from llmledgerd.conversations.prompt import prompt_of
from llmledgerd.delivery.ready_lines import MOST_BYTES, MOST_LINES
from llmledgerd.records.parsing import parse
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import Row
from llmledgerd.records.steps import Steps, alone, together
from llmledgerd.usage import Exchange, read_exchange

SIZES = (2_000, 20_000, 200_000)
BATCH = str(uuid.UUID(int=7, version=4))
USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 80,
    "total_tokens": 1280,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
ENVELOPE = {
    "protocol_version": 4,
    "provider_trace_id": "provider_trace-3f0e8c1e-9a1b-4c55-8f6e-0c7a7c1f4f10",
    "org_id": "org-1",
    "agent_id": "agent-1",
    "run_id": "run-1",
    "step_id": "step-1",
    "type": "agent_step",
    "provider": "openai",
    "model": "gpt-4o",
    "latency_ms": 812.4,
    "attempt": 1,
    "status_code": 200,
    "url": "https://api.openai.com/v1/chat/completions",
    "billing": {"plan_type": "basic", "cost_source": "quota"},
    "outcome": "ok",
}
SENTENCE = 'The quick brown fox said: "jump over the lazy dog."\n'
TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search the archive.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}

COLUMNS = (
    "untyped",
    "events",
    "parse",
    "usage",
    "parts",
    "identity",
    "prompt",
    "usage+row",
    "group",
    "ratio",
)

Step = Callable[[], object]


def request(size: int) -> dict[str, object]:
    """Return a chat that grew to about so many bytes, with the tools that agents send along."""
    messages: list[dict[str, str]] = []
    tools = [TOOL] * min(20, size // 1500)
    length = len(json.dumps(tools))
    while length < size:
        said = f"{len(messages)}: {SENTENCE * 6}"
        messages.append({"role": "assistant" if len(messages) % 2 else "user", "content": said})
        length += len(json.dumps(messages[-1]))
    return {"model": "gpt-4o", "messages": messages, "tools": tools}


def whole(size: int) -> bytes:
    """Return a record whose answer came in one piece; the request is most of it."""
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_900_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": SENTENCE}, "finish_reason": "stop"}
        ],
        "usage": USAGE,
        "service_tier": "default",
    }
    head = len(json.dumps(ENVELOPE)) + len(json.dumps(answer))
    return json.dumps({**ENVELOPE, "request": request(size - head), "response": answer}).encode()


def events(size: int) -> list[str]:
    """Return the events of a streamed answer of about so many bytes."""
    found: list[str] = []
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06"}
    while sum(map(len, found)) < size:
        delta = {"index": 0, "delta": {"content": " quick"}, "finish_reason": None}
        found += [json.dumps({**head, "choices": [delta]})] * 4
    return [*found, json.dumps({**head, "choices": [], "usage": USAGE})]


def streamed(size: int) -> tuple[bytes, list[bytes]]:
    """Return a record whose answer is most of it, and the events in it."""
    found = events(size - 800)
    text = "".join(f"data: {event}\n\n" for event in (*found, "[DONE]"))
    line = json.dumps({**ENVELOPE, "request": {"model": "gpt-4o"}, "response_stream": text}).encode()
    return line, [event.encode() for event in found]


def medians(steps: dict[str, Step], seconds: float) -> dict[str, float]:
    """Return each step's median in microseconds; the steps are run in turns."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for name, step in steps.items():
            start = time.thread_time()  # CPU: other work on the machine is no part of it
            step()
            taken[name].append(time.thread_time() - start)
    return {name: statistics.median(times) * 1e6 for name, times in taken.items()}


def steps_of(line: bytes, parts: list[bytes]) -> tuple[dict[str, Step], Step]:
    """Return the steps, and the one that is not run in turns with others: it leaves nothing else in the caches."""
    builder = RowBuilder(Pricer())
    record = parse(line)
    assert isinstance(record, Record)
    exchange = Exchange(
        provider=record.provider or "",
        url=record.url or "",
        status_code=200,
        request=bytes(record.request),
        response=b"" if record.response_stream else bytes(record.response),
        stream=record.response_stream or "",
    )
    received_us = time.time_ns() // 1000

    asked, answered = read_request(exchange.request), read_answer(exchange.response)
    counts = Counts(1200, 1024, None)

    def begun() -> Steps[Row]:
        return builder.steps(
            record, line=line, service="", received_us=received_us, batch_id=BATCH, batch_row=0
        )

    decode = msgspec.json.Decoder().decode
    in_turns: dict[str, Step] = {
        "untyped": lambda: decode(line),
        "events": lambda: [decode(part) for part in parts],
        "parse": lambda: parse(line),
        "usage": lambda: read_exchange(exchange),
        "parts": lambda: (read_request(exchange.request), read_answer(exchange.response)),
        "identity": lambda: identity_of(asked, answered, "org-1"),
        "prompt": lambda: prompt_of(asked, "org-1", counts, provider="openai", model="gpt-4o"),
        "usage+row": lambda: alone(begun()),
    }
    return in_turns, lambda: together([begun() for _ in range(together_of(line))])


def together_of(line: bytes) -> int:
    """Return how many records of this length the daemon reads together."""
    return min(MOST_LINES, -(-MOST_BYTES // len(line)))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(f"{'record':>16}" + "".join(f"{name:>11}" for name in COLUMNS))
    for size in SIZES:
        for kind, (line, parts) in {"whole": (whole(size), []), "streamed": streamed(size)}.items():
            in_turns, group = steps_of(line, parts)
            found = medians(in_turns, seconds)
            found["group"] = medians({"group": group}, seconds / 4)["group"] / together_of(line)
            base = found["events"] if parts else found["untyped"]
            cells = "".join(f"{found[name]:>11.1f}" for name in found)
            print(f"{len(line):>8,} {kind:>8}{cells}{found['usage+row'] / base:>11.2f}")
    print("ratio: usage+row to untyped; of a stream, to decoding each of its events once")


if __name__ == "__main__":
    main()
