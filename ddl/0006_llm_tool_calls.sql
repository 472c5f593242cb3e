-- One row per call of a tool, from what the rows carry of them: an answer asks for a call, and a later request
-- brings its result. The two have the same key (`llmledgerd.conversations.tool_calls`), and an organization's keys
-- are its own. No payload is read.
--
-- The first answer that asks and the first request that brings the result count, so that a call is one row however
-- often requests are sent again and histories are forked.
--
-- A call that the provider ran itself (4 is added to `error`) has its result in the same row. It is answered even where
-- the answer shows no result, and how long it took is not known.

CREATE VIEW IF NOT EXISTS llm_tool_calls {on_cluster} AS
SELECT
    a.organization_id AS organization_id,
    a.conversation_id AS conversation_id,
    a.id AS id,
    a.tool_call_id AS tool_call_id,
    a.name AS name,
    -- As in `mcp__github__create_issue`.
    extract(a.name, '^mcp__(.+?)__.') AS mcp_server,
    a.agent_id AS agent_id,
    a.run_id AS run_id,
    a.provider AS provider,
    a.model AS model,
    a.created_at AS created_at,
    a.arguments_hash AS arguments_hash,
    a.arguments_bytes AS arguments_bytes,
    b.answered_by AS answered_by,
    if(is_answered, b.result_bytes, NULL) AS result_bytes,
    if(is_answered AND NOT is_provider_run, greatest(0, b.brought_us - a.asked_us) / 1e6, NULL) AS seconds,
    is_answered AND b.error % 4 != 0 AS is_error,
    multiIf(NOT is_answered OR b.error % 4 = 0, '', b.error % 4 = 1, 'api', 'text') AS error_source,
    b.results > 0 AS is_answered,
    b.error >= 4 AS is_provider_run,
    row_number() OVER (
        PARTITION BY organization_id, conversation_id, name, arguments_hash ORDER BY a.asked_us, a.place
    ) > 1 AS is_repeated
FROM
(
    SELECT
        organization_id,
        conversation_id,
        id,
        agent_id,
        run_id,
        provider,
        model,
        created_at,
        toUnixTimestamp64Micro(created_at) + toInt64(latency_ms) * 1000 AS asked_us,
        call.key AS key,
        call.id AS tool_call_id,
        call.name AS name,
        call.arguments_hash AS arguments_hash,
        call.arguments_bytes AS arguments_bytes,
        place
    FROM llm_traces ARRAY JOIN tool_calls AS call, arrayEnumerate(tool_calls) AS place
) AS a
INNER JOIN
(
    SELECT
        key,
        minIf(moment_us, is_asked) AS first_us,
        minIf(moment_us, NOT is_asked) AS brought_us,
        countIf(NOT is_asked) AS results,
        argMinIf(row_id, moment_us, NOT is_asked) AS answered_by,
        argMinIf(size, moment_us, NOT is_asked) AS result_bytes,
        argMinIf(failed, moment_us, NOT is_asked) AS error
    FROM
    (
        SELECT
            key,
            true AS is_asked,
            toUnixTimestamp64Micro(created_at) + toInt64(latency_ms) * 1000 AS moment_us,
            '' AS row_id,
            0::UInt32 AS size,
            0::UInt8 AS failed
        FROM llm_traces ARRAY JOIN tool_calls.key AS key
        UNION ALL
        SELECT
            result.key AS key,
            false AS is_asked,
            toUnixTimestamp64Micro(created_at) AS moment_us,
            id AS row_id,
            result.bytes AS size,
            result.error AS failed
        FROM llm_traces ARRAY JOIN tool_results AS result
    )
    GROUP BY key
    HAVING countIf(is_asked) > 0
) AS b ON b.key = a.key AND b.first_us = a.asked_us;
