"""What redaction costs: a line before the spool and its finished row, with rules and without.

The rules are all named sets and ten keys. `without` is the engine's own time over the same bytes,
the least that any use of it costs; `re` is the standard library's engine with the same patterns.
Medians in microseconds. `python bench/redaction.py [seconds per figure]`
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
import uuid
from collections.abc import Callable

from llmledger.protocol import Record
from llmledgerd.config.settings import Config
from llmledgerd.records.parsing import parse
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.redaction import Redactor
from llmledgerd.redaction.rules import compiled

SIZES = (2_000, 20_000, 200_000)
SETS = ("api_keys", "bearer_tokens", "private_keys", "emails", "phones", "cards")
KEYS = (
    "password", "passwd", "secret", "token", "authorization", "api_key", "apikey", "cookie", "ssn", "iban",
)  # fmt: skip
SENTENCE = 'The quick brown fox said: "jump over 12 lazy dogs, at 10:15." It ran to Łódź\n'
SECRETS = 'Write to jane.doe@example.org, card 4111 1111 1111 1111, "Bearer abcdef0123456789".\n'
BATCH = str(uuid.UUID(int=7, version=4))


def line(size: int, *, secrets: bool) -> bytes:
    """Return a record of about so many bytes; with secrets, three of them."""
    text = SENTENCE * (size // len(SENTENCE) // 8) + SECRETS * secrets
    messages = [{"role": "user", "content": text} for _ in range(7)] + [{"role": "user", "content": SENTENCE}]
    usage = {"prompt_tokens": 1200, "completion_tokens": 80, "total_tokens": 1280}
    record = {
        "protocol_version": 4,
        "provider_trace_id": str(uuid.UUID(int=8, version=4)),
        "org_id": "acme",
        "provider": "openai",
        "model": "gpt-4o",
        "request": {"model": "gpt-4o", "messages": messages},
        "response": {"model": "gpt-4o", "usage": usage, "choices": [{"message": {"content": text}}]},
    }
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def microseconds(step: Callable[[], object], seconds: float) -> float:
    taken = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        step()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


def figures(body: bytes, seconds: float) -> list[float]:
    rules = compiled(Config(redact=SETS, redact_keys=KEYS))
    redactor = Redactor(rules)
    assert rules.patterns is not None
    engines = [expression.engine for expression in rules.patterns.expressions]
    plain = [
        re.compile(engine.pattern.replace(r"\x{80}-\x{10FFFF}", r"\x80-\xff").encode("latin-1"))
        for engine in engines
    ]
    record = parse(body[:-1])
    assert isinstance(record, Record)
    row = RowBuilder(Pricer()).row(record, line=body, service="", received_us=1, batch_id=BATCH, batch_row=0)
    return [
        microseconds(step, seconds)
        for step in (
            lambda: [list(engine.finditer(body)) for engine in engines],
            lambda: [list(engine.finditer(body)) for engine in plain],
            lambda: redactor.lines([body]),
            lambda: redactor.row(row),
        )
    ]


def main(seconds: float = 1.0) -> None:
    print(f"{'bytes':>8} {'secrets':>8} {'engine':>9} {'re':>9} {'line':>9} {'row':>9}   µs")
    for size in SIZES:
        for secrets in (False, True):
            body = line(size, secrets=secrets)
            found = figures(body, seconds)
            print(
                f"{len(body):>8,} {'24' if secrets else '0':>8} " + " ".join(f"{us:>9,.1f}" for us in found)
            )


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
