-- What somebody had to drop: when, who, at which stage, why, and how many; as in ClickHouse.

CREATE TABLE IF NOT EXISTS llm_trace_losses
(
    at          timestamptz NOT NULL,
    host        text NOT NULL,
    service     text NOT NULL,
    session     text NOT NULL,
    stage       text NOT NULL,
    reason      text NOT NULL,
    -- Null: records are missing and nobody knows how many.
    count       bigint,
    batch_id    uuid NOT NULL,
    batch_row   bigint NOT NULL,
    ingested_at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, batch_row)
);
