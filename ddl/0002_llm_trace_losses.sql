-- What somebody had to drop: when, who, at which stage, why, and how many.
--
-- No TTL: a gap in last year's usage has to stay explained, and losses are few. So few that every host
-- of a cluster has them all.

CREATE TABLE IF NOT EXISTS llm_trace_losses {on_cluster}
(
    at          DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    host        LowCardinality(String),
    service     LowCardinality(String),
    session     String CODEC(ZSTD(1)),
    -- Where records were dropped (`client`, `spool`, ...), and the reason as a stable word.
    stage       LowCardinality(String),
    reason      LowCardinality(String),
    -- Null: records are missing and nobody knows how many, as when their sender was killed.
    count       Nullable(UInt64),

    -- As in llm_traces.
    batch_id    UUID,
    batch_row   UInt32,
    ingested_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = {shared_engine}
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (at, service)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1,
    old_parts_lifetime = 480,
    non_replicated_deduplication_window = 1000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    replicated_deduplication_window_for_async_inserts = 10000,
    replicated_deduplication_window_seconds_for_async_inserts = 604800;
