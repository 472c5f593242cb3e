-- One row per HTTP exchange with a provider.
--
-- `migrations.Layout` says what the words in braces stand for; nothing else is replaced. On one server
-- {local} is nothing, and a statement that begins with {sharded} is left out.
-- The first 31 columns keep their names and types for ever: deployed readers select them by name.
-- Numbers are 0 where unknown, except where the type is Nullable: there null means "not reported".

CREATE TABLE IF NOT EXISTS llm_traces{local} {on_cluster}
(
    -- Who: as the sender named them, empty where it did not. `id` is text although it is a UUID as
    -- a rule, because the deployed readers take text.
    id                   String CODEC(ZSTD(1)),
    organization_id      String CODEC(ZSTD(1)),
    project_id           String CODEC(ZSTD(1)),
    agent_id             String CODEC(ZSTD(1)),
    run_id               String CODEC(ZSTD(1)),
    step_id              String CODEC(ZSTD(1)),
    trace_id             String CODEC(ZSTD(1)),
    agent_tags           Array(String) CODEC(ZSTD(1)),

    -- What was called.
    call_type            LowCardinality(String),
    provider             LowCardinality(String),
    model                LowCardinality(String),
    is_byok              UInt8,

    -- How much: bytes before redaction and offload; tokens with every cache and all reasoning inside.
    request_size_bytes   UInt64,
    response_size_bytes  UInt64,
    prompt_tokens        UInt32,
    completion_tokens    UInt32,
    total_tokens         UInt32,
    cached_input_tokens  Nullable(UInt32),
    cache_write_tokens   Nullable(UInt32),
    reasoning_tokens     Nullable(UInt32),
    latency_ms           UInt32,

    -- How it ended.
    is_error             UInt8,
    error_type           LowCardinality(String),
    error_message        String CODEC(ZSTD(1)),

    -- The payloads, byte for byte as received. They are nearly all of the table's size. A request repeats
    -- the one before it in its conversation: long windows, and blocks as long, find that.
    request_json         String CODEC(ZSTD(3, 24))
        SETTINGS (min_compress_block_size = 16777216, max_compress_block_size = 16777216),
    response_json        String CODEC(ZSTD(3, 22))
        SETTINGS (min_compress_block_size = 4194304, max_compress_block_size = 4194304),
    llm_config_json      String CODEC(ZSTD(3)),

    -- Who pays.
    billing_plan_type    LowCardinality(String),
    billing_cost_source  LowCardinality(String),
    billing_customer_id  String CODEC(ZSTD(1)),

    -- When the call started.
    created_at           DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),

    -- From here on the columns are this project's own.
    -- The caller, and the call as it was sent.
    user_id              String CODEC(ZSTD(1)),
    source               LowCardinality(String),
    service              LowCardinality(String),
    span_id              String CODEC(ZSTD(1)),
    url                  String CODEC(ZSTD(1)),
    attempt              UInt16,
    request_model        LowCardinality(String),
    provider_request_id  String CODEC(ZSTD(1)),
    service_tier         LowCardinality(String),
    is_batch             UInt8,
    compaction_settings_json String CODEC(ZSTD(3)),

    -- Which call it continues: names of turns, of 24 characters, made of the bytes alone.
    conversation_id      String CODEC(ZSTD(1)),
    turn_id              String CODEC(ZSTD(1)),
    parent_turn_id       String CODEC(ZSTD(1)),
    turn_names           Array(String) CODEC(ZSTD(1)),
    opening_names        Array(String) CODEC(ZSTD(1)),

    -- Attempts of one call send the same bytes. Calls of tools, as far as this call asks for them and brings
    -- their results; `llm_tool_calls` joins the two by `key`, without payloads.
    request_hash         UInt64,
    tool_calls           Array(Tuple(key UInt64, id String, name LowCardinality(String), arguments_hash UInt64, arguments_bytes UInt32)) CODEC(ZSTD(1)),
    tool_results         Array(Tuple(key UInt64, bytes UInt32, error UInt8)) CODEC(ZSTD(1)),
    tokens_by_tool   Map(LowCardinality(String), UInt32) CODEC(ZSTD(1)),

    -- The answer.
    outcome              LowCardinality(String),
    finish_reason        LowCardinality(String),
    is_stream            UInt8,
    status_code          UInt16,
    time_to_first_token_ms Nullable(UInt32),

    -- The provider's own usage object, so that usage can be computed again without the payloads,
    -- and what is thought of it.
    usage_json           String CODEC(ZSTD(3)),
    usage_source         LowCardinality(String),
    usage_check          LowCardinality(String),

    -- Null where usage or price is unknown, never 0 then.
    cost_usd             Nullable(Decimal(18, 9)),
    cost_usd_source      LowCardinality(String),
    -- Why there is no cost, what was priced by which list, and the amounts that add up to the cost.
    cost_reason          LowCardinality(String),
    priced_model         LowCardinality(String),
    price_list           LowCardinality(String),
    cost_parts           Map(LowCardinality(String), Decimal(18, 9)),
    -- What is billed beside tokens, where the call was served, and what others say that it cost.
    usage_units          Map(LowCardinality(String), Decimal(18, 6)),
    region               LowCardinality(String),
    upstream_cost_usd    Nullable(Decimal(18, 9)),
    sent_cost_usd        Nullable(Decimal(18, 9)),
    sent_cost_source     LowCardinality(String),

    -- The prompt: what takes to compare it with the call before, and what its tokens are. No text of it.
    turn_hash            Int64,
    parent_turn_hash     Int64,
    prompt_parts         String CODEC(ZSTD(3)),
    tools_hash           Int64,
    system_hash          Int64,
    history_hash         Int64,
    parent_history_hash  Int64,
    prefix_hash          Int64,
    prefix_tokens        UInt32,
    prompt_estimate      UInt32,
    last_block           UInt32,
    cache_marks          Array(UInt32),
    cache_left_tokens    UInt32,
    cache_left_seconds   UInt32,
    cache_left_state     LowCardinality(String),
    cache_gap            UInt32,
    lost_rate_fresh      Nullable(UInt64),
    lost_rate_written    Nullable(UInt64),
    system_tokens        UInt32,
    tools_tokens         UInt32,
    history_tokens       UInt32,
    result_tokens        UInt32,
    file_tokens          UInt32,
    new_tokens           UInt32,
    cache_diagnostics    String,

    -- Delivery: which line of which segment the row was, and when that line was received.
    -- `batch_id` and `batch_row` let a daemon ask which rows of an insert arrived.
    payload_uri          String CODEC(ZSTD(1)),
    protocol_version     UInt8,
    batch_id             UUID,
    batch_row            UInt32,
    ingested_at          DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),

    -- Numbers of texts, which are compared in a fifth of the time. Nobody inserts them. sipHash64, so that nobody can
    -- choose a name that has another's number.
    organization_hash    UInt64 MATERIALIZED sipHash64(organization_id),
    cache_group          UInt64 MATERIALIZED sipHash64(agent_id, provider, priced_model),

    -- Looking up one call, or the calls of one agent, step, run or trace, skips what cannot hold it.
    INDEX by_id          id          TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_agent_id    agent_id    TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_step_id     step_id     TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_run_id      run_id      TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_trace_id    trace_id    TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_conversation_id conversation_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_turn_id     turn_id     TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_turn_names  turn_names  TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_is_error    is_error    TYPE minmax GRANULARITY 1,
    INDEX by_created_at  created_at  TYPE minmax GRANULARITY 1,
    -- The question after an insert whose answer was lost.
    INDEX by_batch_id    batch_id    TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_ingested_at ingested_at TYPE minmax GRANULARITY 1
)
ENGINE = {engine}
-- By the time of receipt, not of the call: the rows of one insert were received within seconds, so
-- that an insert, a backfill's too, makes one part and is committed as one.
PARTITION BY toMonday(ingested_at)
-- Within each hour the calls that continue a conversation lie together, so that one block has many of them.
-- Calls that continue none lie by their run, else by time: they share prompts and documents with each other.
-- The index ends with the hour: if `created_at` were in it, the engine would look for times in that alone.
-- The hour is counted from 1970: toStartOfHour wraps, and up to 25.x a condition with a time before 1970 or
-- after 2106 then finds nothing.
PRIMARY KEY (organization_id, intDiv(toInt64(created_at), 3600))
ORDER BY (organization_id, intDiv(toInt64(created_at), 3600), if(parent_turn_id = '', run_id, conversation_id), created_at)
{ttl}
SETTINGS
    -- A merge holds a granule of each part, and parts of the same hour are merged row by row.
    index_granularity_bytes = 2097152,
    -- The daemon deletes its copy once the server has answered, so the answer has to mean "on disk".
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    -- Servers sync neither what a merge or a mutation writes nor what a replica fetches, and delete the
    -- sources some time later. The last is a server's default, and not the embedded engine's.
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_fetch = 1,
    old_parts_lifetime = 480,
    -- A retried insert carries its token again and is ignored, as long as it is among these. Servers' own
    -- windows have changed: replicas forgot after a week up to 25.9, and forget after an hour since 25.10.
    non_replicated_deduplication_window = 1000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    replicated_deduplication_window_for_async_inserts = 10000,
    replicated_deduplication_window_seconds_for_async_inserts = 604800,
    -- Expired rows go by whole partitions; a change of the TTL rewrites no data.
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;

-- What everybody reads and writes where the rows lie on shards. An organization's rows lie on one.
{sharded} CREATE TABLE IF NOT EXISTS llm_traces {on_cluster} AS llm_traces_local
ENGINE = Distributed('{cluster}', currentDatabase(), llm_traces_local, cityHash64(organization_id));
