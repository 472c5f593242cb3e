-- One row per HTTP exchange with a provider, whole (`provider_traces`) or without its payloads
-- (`provider_trace_metadata`); the setting postgres_content says which of them is written.
--
-- The columns are those of ClickHouse's llm_traces, by name and meaning; see ddl/0001_llm_traces.sql.
-- Flags are booleans here, and ids are unique: a second line with the id of another is left out.

CREATE TABLE IF NOT EXISTS provider_traces
(
    id                   text NOT NULL,
    organization_id      text NOT NULL,
    project_id           text NOT NULL,
    agent_id             text NOT NULL,
    run_id               text NOT NULL,
    step_id              text NOT NULL,
    trace_id             text NOT NULL,
    agent_tags           text[] NOT NULL,
    call_type            text NOT NULL,
    provider             text NOT NULL,
    model                text NOT NULL,
    is_byok              boolean NOT NULL,
    request_size_bytes   bigint NOT NULL,
    response_size_bytes  bigint NOT NULL,
    prompt_tokens        bigint NOT NULL,
    completion_tokens    bigint NOT NULL,
    total_tokens         bigint NOT NULL,
    cached_input_tokens  bigint,
    cache_write_tokens   bigint,
    reasoning_tokens     bigint,
    latency_ms           bigint NOT NULL,
    is_error             boolean NOT NULL,
    error_type           text NOT NULL,
    error_message        text NOT NULL,
    -- Text and not jsonb, which would change the bytes, and refuses some JSON (NUL as an escape).
    request_json         text NOT NULL,
    response_json        text NOT NULL,
    llm_config_json      text NOT NULL,
    billing_plan_type    text NOT NULL,
    billing_cost_source  text NOT NULL,
    billing_customer_id  text NOT NULL,
    created_at           timestamptz NOT NULL,
    user_id              text NOT NULL,
    source               text NOT NULL,
    service              text NOT NULL,
    span_id              text NOT NULL,
    url                  text NOT NULL,
    attempt              integer NOT NULL,
    request_model        text NOT NULL,
    provider_request_id  text NOT NULL,
    service_tier         text NOT NULL,
    is_batch             boolean NOT NULL,
    compaction_settings_json text NOT NULL,
    conversation_id      text NOT NULL,
    turn_id              text NOT NULL,
    parent_turn_id       text NOT NULL,
    turn_names           text[] NOT NULL,
    opening_names        text[] NOT NULL,
    request_hash         bigint NOT NULL,
    tool_calls           jsonb NOT NULL,
    tool_results         jsonb NOT NULL,
    tokens_by_tool   jsonb NOT NULL,
    outcome              text NOT NULL,
    finish_reason        text NOT NULL,
    is_stream            boolean NOT NULL,
    status_code          integer NOT NULL,
    time_to_first_token_ms bigint,
    usage_json           text NOT NULL,
    usage_source         text NOT NULL,
    usage_check          text NOT NULL,
    cost_usd             numeric(18, 9),
    cost_usd_source      text NOT NULL,
    cost_reason          text NOT NULL,
    priced_model         text NOT NULL,
    price_list           text NOT NULL,
    cost_parts           jsonb NOT NULL,
    usage_units          jsonb NOT NULL,
    region               text NOT NULL,
    upstream_cost_usd    numeric(18, 9),
    sent_cost_usd        numeric(18, 9),
    sent_cost_source     text NOT NULL,
    turn_hash            bigint NOT NULL,
    parent_turn_hash     bigint NOT NULL,
    prompt_parts         text NOT NULL,
    tools_hash           bigint NOT NULL,
    system_hash          bigint NOT NULL,
    history_hash         bigint NOT NULL,
    parent_history_hash  bigint NOT NULL,
    prefix_hash          bigint NOT NULL,
    prefix_tokens        bigint NOT NULL,
    prompt_estimate      bigint NOT NULL,
    last_block           bigint NOT NULL,
    cache_marks          bigint[] NOT NULL,
    cache_left_tokens    bigint NOT NULL,
    cache_left_seconds   bigint NOT NULL,
    cache_left_state     text NOT NULL,
    cache_gap            bigint NOT NULL,
    lost_rate_fresh      bigint,
    lost_rate_written    bigint,
    system_tokens        bigint NOT NULL,
    tools_tokens         bigint NOT NULL,
    history_tokens       bigint NOT NULL,
    result_tokens        bigint NOT NULL,
    file_tokens          bigint NOT NULL,
    new_tokens           bigint NOT NULL,
    cache_diagnostics    text NOT NULL,
    payload_uri          text NOT NULL,
    protocol_version     smallint NOT NULL,
    batch_id             uuid NOT NULL,
    batch_row            bigint NOT NULL,
    ingested_at          timestamptz NOT NULL,
    -- Organizations choose their ids, so that two can have the same.
    PRIMARY KEY (id, organization_id)
);

-- The calls of a step. Hashed, since senders choose the text and a B-tree takes no long ones.
CREATE INDEX IF NOT EXISTS provider_traces_step_id ON provider_traces USING hash (step_id) WHERE step_id <> '';
CREATE INDEX IF NOT EXISTS provider_traces_created_at ON provider_traces USING brin (created_at);
CREATE INDEX IF NOT EXISTS provider_traces_conversation_id ON provider_traces
    USING hash (conversation_id) WHERE conversation_id <> '';
CREATE INDEX IF NOT EXISTS provider_traces_turn_id ON provider_traces USING hash (turn_id) WHERE turn_id <> '';
-- Rows come in the order of their receipt, so that a few pages tell where a batch is.
CREATE INDEX IF NOT EXISTS provider_traces_ingested_at ON provider_traces USING brin (ingested_at);
-- The few rows that make room when their record comes after all.
CREATE INDEX IF NOT EXISTS provider_traces_abandoned ON provider_traces (id) WHERE outcome = 'abandoned';

-- The same columns without the payloads.
CREATE TABLE IF NOT EXISTS provider_trace_metadata (LIKE provider_traces, PRIMARY KEY (created_at, id));
ALTER TABLE provider_trace_metadata
    DROP COLUMN IF EXISTS request_json,
    DROP COLUMN IF EXISTS response_json,
    DROP COLUMN IF EXISTS llm_config_json,
    DROP COLUMN IF EXISTS compaction_settings_json;

CREATE INDEX IF NOT EXISTS provider_trace_metadata_id ON provider_trace_metadata (id);
CREATE INDEX IF NOT EXISTS provider_trace_metadata_step_id ON provider_trace_metadata
    USING hash (step_id) WHERE step_id <> '';
CREATE INDEX IF NOT EXISTS provider_trace_metadata_conversation_id ON provider_trace_metadata
    USING hash (conversation_id) WHERE conversation_id <> '';
CREATE INDEX IF NOT EXISTS provider_trace_metadata_turn_id ON provider_trace_metadata
    USING hash (turn_id) WHERE turn_id <> '';
CREATE INDEX IF NOT EXISTS provider_trace_metadata_ingested_at ON provider_trace_metadata USING brin (ingested_at);
CREATE INDEX IF NOT EXISTS provider_trace_metadata_abandoned ON provider_trace_metadata (id)
    WHERE outcome = 'abandoned';
