-- Who recomputed costs, when, for which calls, and what that did to their sums.
--
-- A row is one model in one step of a run. `begun` is written before the calls are changed and `done`
-- after; a `begun` without its `done` is a step that was interrupted, and that a later run repeats.
-- No TTL, as invoices of last year have to stay explained.

CREATE TABLE IF NOT EXISTS llm_price_changes {on_cluster}
(
    at            DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    run           UUID,
    step          UUID,
    state         LowCardinality(String),
    -- User and host of who ran it.
    by            String CODEC(ZSTD(1)),
    -- The range that the run was asked for, and the first and the last call that the step changed.
    from_at       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    to_at         DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    first_call_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    last_call_at  DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    provider      LowCardinality(String),
    model         LowCardinality(String),
    -- The list that the new costs are by; empty where they are unknown now.
    price_list    LowCardinality(String),
    calls         UInt64,
    -- Calls without a cost before, and after.
    old_unknown   UInt64,
    new_unknown   UInt64,
    old_usd       Decimal(38, 9),
    new_usd       Decimal(38, 9)
)
ENGINE = {shared_engine}
PARTITION BY toYYYYMM(at)
ORDER BY (at, run)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1,
    old_parts_lifetime = 480,
    non_replicated_deduplication_window = 1000;
