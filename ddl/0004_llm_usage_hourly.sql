-- Usage by the hour, so that a year of it answers in milliseconds.
--
-- A materialized view adds every insert into llm_traces to llm_usage_hourly. It is right as long as
-- view and table agree, and there are ways for them to part: a view that fails after the table has
-- committed, rows that are deleted or changed. Whoever does that, or cannot exclude it, first writes
-- the hours concerned into llm_usage_doubts. Readers answer those hours from the rows; the daemon
-- rebuilds them, and takes them off the list when `fingerprint` says that the two agree again.
--
-- An hour is that of `created_at`, UTC. Sums of what is not reported leave it out; how many rows
-- that concerns is counted beside them.

CREATE TABLE IF NOT EXISTS llm_usage_hourly{local} {on_cluster}
(
    hour                 DateTime('UTC') CODEC(Delta, ZSTD(1)),
    organization_id      String CODEC(ZSTD(1)),
    project_id           String CODEC(ZSTD(1)),
    agent_id             String CODEC(ZSTD(1)),
    provider             LowCardinality(String),
    model                LowCardinality(String),
    call_type            LowCardinality(String),
    billing_plan_type    LowCardinality(String),
    is_byok              UInt8,

    requests             SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    prompt_tokens        SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    completion_tokens    SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    total_tokens         SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cached_input_tokens  SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cache_write_tokens   SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    reasoning_tokens     SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cost_usd             SimpleAggregateFunction(sum, Decimal(38, 9)) CODEC(ZSTD(1)),
    request_bytes        SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    response_bytes       SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    errors               SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    cancelled            SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    unknown_usage        SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    partial_usage        SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    unknown_cost         SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),

    -- Of the calls whose latency is known. BFloat16 keeps counts of values cut to eight significant
    -- bits: quantiles by nearest rank are at most 0.8 % low whatever the sizes of groups, where a
    -- t-digest was seen 1.9 % off; and small states merge in a sixth of the time of quantilesDD(0.01).
    latency_known        SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    latency_ms_sum       SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    latency_quantiles    AggregateFunction(quantilesBFloat16(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)),
    -- Of the calls whose first token was timed, and of the successful ones with output: milliseconds to
    -- that token, and output tokens per second, as `usage_sql.QUANTILES` has them of the rows.
    first_token_quantiles AggregateFunction(quantilesBFloat16(0.5, 0.95, 0.99), UInt32) CODEC(ZSTD(1)),
    speed_quantiles      AggregateFunction(quantilesBFloat16(0.5, 0.95, 0.99), Float32) CODEC(ZSTD(1)),

    -- The sum, modulo 2^64, of a hash of each row's identity and of all that was summed of it. Equal
    -- sums mean equal rows; a row that is missing, doubled or changed makes them differ.
    fingerprint          SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1))
)
ENGINE = {aggregating_engine}
-- Coarse, so that a backfill of many years stays under 100 partitions.
PARTITION BY toStartOfQuarter(hour)
ORDER BY (organization_id, hour, project_id, agent_id, provider, model, call_type, billing_plan_type, is_byok)
PRIMARY KEY (organization_id, hour)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1,
    old_parts_lifetime = 480,
    -- Of its own: without it, a retry that llm_traces ignores would be added here again.
    non_replicated_deduplication_window = 1000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    replicated_deduplication_window_for_async_inserts = 10000,
    replicated_deduplication_window_seconds_for_async_inserts = 604800;

-- Sharded as the rows are, so that a shard's view and a rebuilding put an organization's hours on one.
{sharded} CREATE TABLE IF NOT EXISTS llm_usage_hourly {on_cluster} AS llm_usage_hourly_local
ENGINE = Distributed('{cluster}', currentDatabase(), llm_usage_hourly_local, cityHash64(organization_id));

-- Hours that llm_usage_hourly may have wrong. A row is a reason; an hour without one can be relied on.
CREATE TABLE IF NOT EXISTS llm_usage_doubts {on_cluster}
(
    hour   DateTime('UTC'),
    -- By the server's clock, which is the only one that mending looks at.
    at     DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    reason LowCardinality(String),
    -- Who is rebuilding the hour; zero where nobody is.
    owner  UUID
)
ENGINE = {shared_engine}
ORDER BY hour
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1,
    old_parts_lifetime = 480;

-- Rebuilding runs this very SELECT, which it reads from the server, with a WHERE before its GROUP BY.
CREATE MATERIALIZED VIEW IF NOT EXISTS llm_usage_hourly_view {on_cluster} TO llm_usage_hourly{local} AS
SELECT
    toStartOfHour(created_at) AS hour,
    organization_id,
    project_id,
    agent_id,
    provider,
    model,
    call_type,
    billing_plan_type,
    is_byok,
    count() AS requests,
    sum(toUInt64(t.prompt_tokens)) AS prompt_tokens,
    sum(toUInt64(t.completion_tokens)) AS completion_tokens,
    sum(toUInt64(t.total_tokens)) AS total_tokens,
    sum(toUInt64(ifNull(t.cached_input_tokens, 0))) AS cached_input_tokens,
    sum(toUInt64(ifNull(t.cache_write_tokens, 0))) AS cache_write_tokens,
    sum(toUInt64(ifNull(t.reasoning_tokens, 0))) AS reasoning_tokens,
    sum(toDecimal128(ifNull(t.cost_usd, 0), 9)) AS cost_usd,
    sum(t.request_size_bytes) AS request_bytes,
    sum(t.response_size_bytes) AS response_bytes,
    countIf(t.is_error != 0) AS errors,
    countIf(t.outcome = 'cancelled') AS cancelled,
    countIf(t.usage_source = 'unknown') AS unknown_usage,
    countIf(t.usage_source = 'partial') AS partial_usage,
    countIf(t.cost_usd IS NULL) AS unknown_cost,
    countIf(t.latency_ms > 0) AS latency_known,
    sum(toUInt64(t.latency_ms)) AS latency_ms_sum,
    quantilesBFloat16StateIf(0.5, 0.95, 0.99)(t.latency_ms, t.latency_ms > 0) AS latency_quantiles,
    quantilesBFloat16StateIf(0.5, 0.95, 0.99)(
        assumeNotNull(t.time_to_first_token_ms), t.time_to_first_token_ms IS NOT NULL
    ) AS first_token_quantiles,
    quantilesBFloat16StateIf(0.5, 0.95, 0.99)(
        toFloat32(t.completion_tokens * 1000 / (t.latency_ms
            - if(ifNull(t.time_to_first_token_ms, 0) * 10 <= t.latency_ms * 9, ifNull(t.time_to_first_token_ms, 0), 0))),
        t.is_error = 0 AND t.usage_source = 'reported' AND t.completion_tokens > 0 AND t.latency_ms > 0
    ) AS speed_quantiles,
    sum(cityHash64(
        t.batch_id, t.batch_row, t.created_at, t.organization_id, t.project_id, t.agent_id, t.provider, t.model,
        t.call_type, t.billing_plan_type, t.is_byok, t.prompt_tokens, t.completion_tokens, t.total_tokens,
        ifNull(toInt64(t.cached_input_tokens), -1), ifNull(toInt64(t.cache_write_tokens), -1),
        ifNull(toInt64(t.reasoning_tokens), -1), ifNull(t.cost_usd, -1), t.request_size_bytes,
        t.response_size_bytes, t.is_error, t.outcome, t.usage_source, t.latency_ms,
        ifNull(toInt64(t.time_to_first_token_ms), -1)
    )) AS fingerprint
FROM llm_traces{local} AS t
GROUP BY hour, organization_id, project_id, agent_id, provider, model, call_type, billing_plan_type, is_byok;

-- What was there before the view: every hour with rows, and the hours that an insert may be adding to
-- at this moment without its view. The daemon rebuilds them in the background.
INSERT INTO llm_usage_doubts (hour, reason)
SELECT DISTINCT toStartOfHour(created_at) AS hour, 'before_the_view' FROM llm_traces
UNION DISTINCT
SELECT toStartOfHour(now('UTC') - toIntervalHour(number)), 'before_the_view' FROM numbers(48)
WHERE (SELECT count() FROM llm_traces) > 0;
