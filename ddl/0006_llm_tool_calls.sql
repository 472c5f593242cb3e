-- One row per call of a tool, from what the rows carry of them: an answer asks for a call, and a later request
-- brings its result. The two have the same key (`llmledgerd.conversations.tool_calls`), and an organization's keys
-- are its own. No payload is read.
--
-- The first answer that asks and the first request that brings the result count, so that a call is one row however
-- often requests are sent again and histories are forked.

CREATE VIEW IF NOT EXISTS llm_tool_calls {on_cluster} AS
SELECT
    organization_id,
    asked.1 AS conversation_id,
    asked.2 AS id,
    asked.3 AS tool_call_id,
    asked.4 AS name,
    -- As in `mcp__github__create_issue`.
    extract(asked.4, '^mcp__(.+?)__.') AS mcp_server,
    asked.5 AS agent_id,
    asked.6 AS run_id,
    asked.7 AS provider,
    asked.8 AS model,
    asked.9 AS created_at,
    asked.10 AS arguments_hash,
    asked.11 AS arguments_bytes,
    brought.3 AS answered_by,
    if(is_answered, brought.1, NULL) AS result_bytes,
    if(is_answered, greatest(0, brought_us - asked_us) / 1e6, NULL) AS seconds,
    is_answered AND brought.2 != 0 AS is_error,
    multiIf(NOT is_answered OR brought.2 = 0, '', brought.2 = 1, 'api', 'text') AS error_source,
    is_answered,
    row_number() OVER (
        PARTITION BY organization_id, conversation_id, name, arguments_hash ORDER BY asked_us, asked.12
    ) > 1 AS is_repeated
FROM
(
    SELECT
        organization_id,
        argMinIf(asked, moment_us, is_asked) AS asked,
        argMinIf(brought, moment_us, NOT is_asked) AS brought,
        minIf(moment_us, is_asked) AS asked_us,
        minIf(moment_us, NOT is_asked) AS brought_us,
        countIf(NOT is_asked) > 0 AS is_answered
    FROM
    (
        SELECT
            organization_id,
            call.key AS key,
            true AS is_asked,
            toUnixTimestamp64Micro(created_at) + toInt64(latency_ms) * 1000 AS moment_us,
            (conversation_id, id, call.id, call.name, agent_id, run_id, provider, model, created_at,
                call.arguments_hash, call.arguments_bytes, place) AS asked,
            (0::UInt32, 0::UInt8, '') AS brought
        FROM llm_traces ARRAY JOIN tool_calls AS call, arrayEnumerate(tool_calls) AS place
        UNION ALL
        SELECT
            organization_id,
            result.key AS key,
            false AS is_asked,
            toUnixTimestamp64Micro(created_at) AS moment_us,
            ('', '', '', '', '', '', '', '', created_at, 0::UInt64, 0::UInt32, 0::UInt32) AS asked,
            (result.bytes, result.error, id) AS brought
        FROM llm_traces ARRAY JOIN tool_results AS result
    )
    GROUP BY organization_id, key
    HAVING countIf(is_asked) > 0
);
