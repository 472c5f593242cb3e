"""Rows for measurements, made by the engine: tens of millions of them in minutes.

Invariants:
- The engine makes the rows from their numbers; none of them passes through Python.
- The same seed, count, span and end make the same rows.
- They are rows like others: the rollup's view sees them, and identifiers, usage and cost agree with
  each other. Only sizes are drawn, and not those of the payloads, which are short.

``llmledger demo`` makes fewer, of providers' answers that the daemon's own code reads and prices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from llmledgerd.stores.clickhouse.client import Store

ROWS_AT_ONCE: Final = 1_000_000
"""Rows of one statement, which bounds the engine's memory."""

BATCH_ROWS: Final = 10_000
RUN_CALLS: Final = 25
"""Calls that an agent makes in one run, on average and here always."""

MODELS: Final = (
    # provider, model, USD per million tokens in and out, milliseconds to begin with and for each token out
    ("openai", "gpt-4o-2024-08-06", 2.5, 10.0, 350, 9),
    ("openai", "gpt-4o-mini-2024-07-18", 0.15, 0.6, 300, 6),
    ("anthropic", "claude-sonnet-4-5-20250929", 3.0, 15.0, 700, 14),
    ("anthropic", "claude-haiku-4-5-20251001", 1.0, 5.0, 400, 6),
    ("google", "gemini-2.5-flash", 0.3, 2.5, 400, 4),
    ("google", "gemini-2.5-pro", 1.25, 10.0, 900, 10),
    ("mistral", "mistral-large-latest", 2.0, 6.0, 450, 11),
    ("groq", "llama-3.3-70b-versatile", 0.59, 0.79, 120, 3),
)


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """How much of it, and when."""

    rows: int
    days: float
    end_us: int
    """When the last call starts, in microseconds since 1970."""
    organizations: tuple[str, ...] = ()
    """Empty: fifty, which differ in size by a factor of some hundreds."""
    seed: int = 1


def fill(store: Store, traffic: Traffic) -> Iterator[int]:
    """Insert the traffic, a part at a time; yield how many rows there are so far. Raises StoreBusy."""
    for first in range(0, traffic.rows, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, traffic.rows - first)
        store.run(INSERT, _parameters(traffic, first, count), {"deduplicate_insert_select": "disable"})
        yield first + count


def _parameters(traffic: Traffic, first: int, count: int) -> dict[str, object]:
    organizations = traffic.organizations or tuple(f"org-{number:02}" for number in range(50))
    columns = list(zip(*MODELS, strict=True))
    names = ("providers", "models", "prices_in", "prices_out", "first_ms", "token_ms")
    return {
        "first": first,
        "count": count,
        "rows": traffic.rows,
        "seed": traffic.seed,
        "end_us": traffic.end_us,
        "span_us": int(traffic.days * 86_400e6),
        "days": traffic.days,
        "organizations": list(organizations),
        "run_calls": RUN_CALLS,
        "batch_rows": BATCH_ROWS,
        **{name: list(values) for name, values in zip(names, columns, strict=True)},
    }


INSERT: Final = """
INSERT INTO llm_traces
(
    id, organization_id, project_id, agent_id, run_id, step_id, trace_id, agent_tags, call_type, provider, model,
    is_byok, request_size_bytes, response_size_bytes, prompt_tokens, completion_tokens, total_tokens,
    cached_input_tokens, cache_write_tokens, reasoning_tokens, latency_ms, is_error, error_type, error_message,
    request_json, response_json, llm_config_json, billing_plan_type, billing_cost_source, billing_customer_id,
    created_at, user_id, service, url, attempt, request_model, outcome, finish_reason, is_stream, status_code,
    time_to_first_token_ms, usage_json, usage_source, usage_check, cost_usd, cost_usd_source, protocol_version,
    batch_id, batch_row, ingested_at
)
WITH
    -- Chance, from 0 to less than 1, that depends on a call's or a run's number alone.
    (n, salt) -> bitShiftRight(cityHash64(n, salt, {seed:UInt64}), 11) / 9007199254740992. AS chance,
    -- A draw whose median is m, and whose large values are rare and very large.
    (n, salt, m, spread) -> m * exp(spread * sqrt(-2 * log(1 - chance(n, salt))) * cos(6.283185 * chance(n, salt + 1)))
        AS draw,
    intDiv(number, {run_calls:UInt64}) AS run,
    number % {run_calls:UInt64} AS step,
    -- More by day than by night; a run's calls lie together.
    run * {run_calls:UInt64} / {rows:UInt64} AS place,
    place + 0.1 * sin(6.283185 * place * {days:Float64}) / {days:Float64} AS warped,
    toInt64({end_us:Int64} - {span_us:Int64} * (1 - least(1., greatest(0., warped)))
        - ({run_calls:UInt64} - step) * 4e6 - chance(number, 1) * 3e6) AS started_us,
    {organizations:Array(String)} AS organizations,
    organizations[1 + toUInt32(pow(chance(run, 2), 3) * length(organizations))] AS organization,
    toUInt32(pow(chance(run, 3), 2) * 20) AS agent,
    -- An agent has a model it uses most.
    1 + if(chance(run, 4) < 0.8, cityHash64(organization, agent), cityHash64(run)) % length({models:Array(String)}) AS m,
    multiIf(chance(number, 5) < 0.94, 'ok', chance(number, 5) < 0.97, 'cancelled', chance(number, 5) < 0.999, 'error',
        'abandoned') AS ended,
    ended IN ('ok', 'cancelled') AS answered,
    1 + cityHash64(number) % 3 AS failure,
    -- A conversation grows with its steps, and what was said before is cached.
    toUInt32(least(190000., draw(run, 10, 1500, 0.8) + step * draw(run, 12, 350, 0.6))) AS input,
    toUInt32(least(16000., 1 + draw(number, 14, 220, 1.0) * if(ended = 'cancelled', 0.4, 1.))) AS output,
    if(step > 0 AND cityHash64(organization, agent) % 3 > 0, toUInt32(input * 0.7), 0) AS cached,
    answered AND (ended = 'ok' OR chance(number, 16) < 0.5) AS known,
    toUInt32(least(4e6, draw(number, 17, 1, 0.4)
        * ({first_ms:Array(Float64)}[m] + if(answered, output * {token_ms:Array(Float64)}[m], 0)))) AS latency,
    toString(UUIDNumToString(sipHash128(number, {seed:UInt64}))) AS call
SELECT
    call,
    organization,
    concat(organization, '-project-', toString(agent % 4)),
    concat(organization, '-agent-', toString(agent)),
    concat('run-', hex(cityHash64(run, {seed:UInt64}))),
    concat('step-', hex(cityHash64(number, 6, {seed:UInt64}))),
    lower(hex(sipHash128(run, {seed:UInt64}))),
    if(agent % 2 = 0, ['production'], ['staging', 'canary']),
    multiIf(step = 24, 'summarization', agent = 19, 'embedding', 'agent_step'),
    {providers:Array(String)}[m],
    {models:Array(String)}[m],
    cityHash64(organization) % 7 = 0,
    -- A few have images.
    toUInt64(900 + input * 4.2 * draw(number, 18, 1, 0.3) + if(chance(number, 24) < 0.002, draw(number, 25, 7e5, 0.8), 0)),
    if(answered, toUInt64(600 + output * 4.6), 180),
    if(known, input, 0),
    if(known, output, 0),
    if(known, input + output, 0),
    if(known, cached, NULL),
    if(known AND {providers:Array(String)}[m] = 'anthropic', toUInt32(input * 0.1), NULL),
    if(known AND m % 2 = 0, toUInt32(output * 0.3), NULL),
    if(ended = 'abandoned', 0, latency),
    ended != 'ok',
    multiIf(ended = 'ok', '', ended != 'error', ended, ['rate_limit_error', 'server_error', 'ReadTimeout'][failure]),
    multiIf(ended != 'error', '', ['Rate limit reached, try again in 2s', 'The server had an error', 'timed out'][failure]),
    concat('{"model":"', {models:Array(String)}[m], '","messages":[{"role":"system","content":"You are agent ',
        toString(agent), ' of ', organization, '."},{"role":"user","content":"Step ', toString(step + 1),
        ': what is to be done next about case ', toString(cityHash64(run) % 100000), '?"}]}'),
    if(answered, concat('{"model":"', {models:Array(String)}[m],
        '","choices":[{"index":0,"message":{"role":"assistant","content":"Look at the record ',
        hex(cityHash64(number)), ' and answer the customer."},"finish_reason":"stop"}]}'), ''),
    '',
    ['basic', 'standard', 'max', 'enterprise'][1 + cityHash64(organization, 1) % 4],
    if(cityHash64(organization, 2) % 2 = 0, 'quota', 'credits'),
    concat('customer-', toString(cityHash64(run, 7) % 500)),
    fromUnixTimestamp64Micro(started_us, 'UTC'),
    concat('user-', toString(cityHash64(run, 8) % 2000)),
    ['api', 'worker', 'batch'][1 + agent % 3],
    concat('https://', {providers:Array(String)}[m], '.example/v1/chat/completions'),
    if(chance(number, 20) < 0.02, 2, 1),
    {models:Array(String)}[m],
    ended,
    if(ended = 'ok', 'stop', ''),
    chance(run, 21) < 0.6,
    multiIf(answered, 200, ended = 'abandoned' OR failure = 3, 0, [429, 500][failure]),
    if(answered AND chance(run, 21) < 0.6, toUInt32({first_ms:Array(Float64)}[m] * draw(number, 22, 1, 0.3)), NULL),
    if(known, concat('{"prompt_tokens":', toString(input), ',"completion_tokens":', toString(output),
        ',"total_tokens":', toString(input + output), '}'), ''),
    multiIf(NOT known, 'unknown', ended = 'cancelled', 'partial', 'reported'),
    if(known, 'ok', ''),
    if(known, toDecimal64((input - cached * 0.9) * {prices_in:Array(Float64)}[m] / 1e6
        + output * {prices_out:Array(Float64)}[m] / 1e6, 9), NULL),
    if(known, 'list_price', ''),
    4,
    toUUID(UUIDNumToString(sipHash128(intDiv(number, {batch_rows:UInt64}), {seed:UInt64}, 1))),
    number % {batch_rows:UInt64},
    fromUnixTimestamp64Micro(started_us + toInt64(latency) * 1000 + 400000, 'UTC')
FROM numbers({first:UInt64}, {count:UInt64})
"""
