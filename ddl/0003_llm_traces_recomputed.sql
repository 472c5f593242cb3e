-- The token columns computed again from `usage_json` alone, without the payloads.
--
-- The rules are those of `llmledgerd.usage`, one branch per shape of usage object; a test holds both
-- to the same numbers. What a release of the daemon read wrongly shows up here as `differs`.

CREATE VIEW IF NOT EXISTS llm_traces_recomputed {on_cluster} AS
WITH
    -- Every count that any provider names; null is "not reported". One parse reads them all.
    -- A fraction, true and false are no counts, and are read as null.
    replaceRegexpAll(usage_json, ':\\s*(?:true|false|[0-9]+\\.[0-9]*[1-9][0-9]*)\\s*([,}\\]])', ':null\\1') AS counts_json,
    JSONExtract(counts_json, 'Tuple(
        prompt_tokens Nullable(UInt64), completion_tokens Nullable(UInt64), total_tokens Nullable(UInt64),
        prompt_tokens_details Tuple(cached_tokens Nullable(UInt64), cache_write_tokens Nullable(UInt64), audio_tokens Nullable(UInt64), cache_creation_tokens Nullable(UInt64)),
        prompt_token_details Tuple(cached_tokens Nullable(UInt64), cache_write_tokens Nullable(UInt64), audio_tokens Nullable(UInt64), cache_creation_tokens Nullable(UInt64)),
        completion_tokens_details Tuple(reasoning_tokens Nullable(UInt64)),
        completion_token_details Tuple(reasoning_tokens Nullable(UInt64)),
        prompt_cache_hit_tokens Nullable(UInt64), cached_tokens Nullable(UInt64), num_cached_tokens Nullable(UInt64),
        reasoning_tokens Nullable(UInt64),

        input_tokens Nullable(UInt64), output_tokens Nullable(UInt64),
        input_tokens_details Tuple(cached_tokens Nullable(UInt64), cache_write_tokens Nullable(UInt64)),
        input_token_details Tuple(cached_tokens Nullable(UInt64), cache_write_tokens Nullable(UInt64)),
        output_tokens_details Tuple(reasoning_tokens Nullable(UInt64), thinking_tokens Nullable(UInt64)),
        output_token_details Tuple(reasoning_tokens Nullable(UInt64)),
        cache_read_input_tokens Nullable(UInt64), cache_creation_input_tokens Nullable(UInt64),
        cache_creation Tuple(ephemeral_5m_input_tokens Nullable(UInt64), ephemeral_1h_input_tokens Nullable(UInt64)),
        iterations Array(Tuple(
            input_tokens Nullable(UInt64), output_tokens Nullable(UInt64),
            cache_read_input_tokens Nullable(UInt64), cache_creation_input_tokens Nullable(UInt64),
            cache_creation Tuple(ephemeral_5m_input_tokens Nullable(UInt64), ephemeral_1h_input_tokens Nullable(UInt64)))),

        promptTokenCount Nullable(UInt64), toolUsePromptTokenCount Nullable(UInt64),
        candidatesTokenCount Nullable(UInt64), responseTokenCount Nullable(UInt64), thoughtsTokenCount Nullable(UInt64),
        cachedContentTokenCount Nullable(UInt64), totalTokenCount Nullable(UInt64),
        total_input_tokens Nullable(UInt64), total_tool_use_tokens Nullable(UInt64),
        total_output_tokens Nullable(UInt64), total_thought_tokens Nullable(UInt64), total_cached_tokens Nullable(UInt64),

        inputTokens Nullable(UInt64), outputTokens Nullable(UInt64), totalTokens Nullable(UInt64),
        cacheReadInputTokens Nullable(UInt64), cacheWriteInputTokens Nullable(UInt64),
        inputTokenCount Nullable(UInt64), outputTokenCount Nullable(UInt64),
        cacheReadInputTokenCount Nullable(UInt64), cacheWriteInputTokenCount Nullable(UInt64),

        tokens Tuple(input_tokens Nullable(UInt64), output_tokens Nullable(UInt64), image_tokens Nullable(UInt64), reasoning_tokens Nullable(UInt64)),
        billed_units Tuple(input_tokens Nullable(UInt64), output_tokens Nullable(UInt64), image_tokens Nullable(UInt64)),

        prompt_eval_count Nullable(UInt64), prompt_token_count Nullable(UInt64), inputTextTokenCount Nullable(UInt64),
        num_tokens_prompt_total Nullable(UInt64), input_token_count Nullable(UInt64), token_count Nullable(UInt64),
        eval_count Nullable(UInt64), generation_token_count Nullable(UInt64), tokenCount Nullable(UInt64),
        num_tokens_generated Nullable(UInt64), generated_token_count Nullable(UInt64), output_token_count Nullable(UInt64),
        tokens_evaluated Nullable(UInt64), tokens_predicted Nullable(UInt64),
        tokens_input Nullable(UInt64), tokens_generated Nullable(UInt64),
        token_input_count Nullable(UInt64), token_output_count Nullable(UInt64), totalOutputTextTokenCount Nullable(UInt64)
    )') AS u,

    -- The order of `llmledgerd.usage.providers.APIS`: the members' names tell the rule.
    JSONExtractKeys(usage_json) AS names,
    multiIf(
        hasAny(names, ['prompt_tokens', 'completion_tokens']), 'chat',
        hasAny(names, ['input_tokens', 'output_tokens']),
            if(hasAny(names, ['total_tokens', 'input_tokens_details', 'input_token_details']), 'responses', 'messages'),
        hasAny(names, ['promptTokenCount', 'candidatesTokenCount', 'responseTokenCount', 'thoughtsTokenCount',
                       'toolUsePromptTokenCount', 'totalTokenCount']), 'gemini',
        hasAny(names, ['total_input_tokens', 'total_output_tokens']), 'interaction',
        hasAny(names, ['inputTokens', 'outputTokens', 'inputTokenCount', 'outputTokenCount']), 'bedrock',
        hasAny(names, ['tokens', 'billed_units']), 'cohere',
        hasAny(names, ['prompt_eval_count', 'eval_count', 'prompt_token_count', 'generation_token_count',
                       'inputTextTokenCount', 'tokenCount', 'num_tokens_prompt_total', 'num_tokens_generated',
                       'input_token_count', 'generated_token_count', 'output_token_count', 'token_count',
                       'tokens_evaluated', 'tokens_predicted', 'tokens_input', 'tokens_generated',
                       'token_input_count', 'token_output_count', 'totalOutputTextTokenCount']), 'root',
        has(names, 'total_tokens'), 'chat',
        '') AS shape,

    -- `openai_chat.tokens`, `openai_responses.tokens`: the cache is inside, unless the total says else.
    coalesce(u.prompt_tokens_details.audio_tokens, u.prompt_token_details.audio_tokens) AS audio,
    toInt64(ifNull(u.total_tokens, 0)) - toInt64(ifNull(u.prompt_tokens, 0)) - toInt64(ifNull(u.completion_tokens, 0)) AS beside_chat,
    coalesce(u.completion_tokens_details.reasoning_tokens, u.completion_token_details.reasoning_tokens,
        u.reasoning_tokens) AS reasoning_chat,
    u.prompt_tokens IS NULL AND u.completion_tokens IS NULL AS is_only_total,
    toInt64(ifNull(u.total_tokens, 0)) - toInt64(ifNull(u.input_tokens, 0)) - toInt64(ifNull(u.output_tokens, 0)) AS beside_responses,
    coalesce(u.output_tokens_details.reasoning_tokens, u.output_token_details.reasoning_tokens) AS reasoning_responses,

    -- `anthropic.tokens`: all iterations are billed, each with its cache outside its input.
    if(empty(u.iterations),
       [(u.input_tokens, u.output_tokens, u.cache_read_input_tokens, u.cache_creation_input_tokens, u.cache_creation)],
       u.iterations) AS billed,
    arrayMap(i -> coalesce(i.4,
        if(i.5.1 IS NULL AND i.5.2 IS NULL, NULL, ifNull(i.5.1, 0) + ifNull(i.5.2, 0))), billed) AS written,

    -- `gemini.tokens`: thoughts are outside the candidates, unless these make the total without them.
    shape = 'gemini' AS is_gemini,
    if(is_gemini, ifNull(u.promptTokenCount, 0) + ifNull(u.toolUsePromptTokenCount, 0),
                  ifNull(u.total_input_tokens, 0) + ifNull(u.total_tool_use_tokens, 0)) AS prompt_gemini,
    ifNull(if(is_gemini, coalesce(u.candidatesTokenCount, u.responseTokenCount), u.total_output_tokens), 0) AS candidates,
    if(is_gemini, u.thoughtsTokenCount, u.total_thought_tokens) AS thoughts,
    if(is_gemini, u.totalTokenCount, u.total_tokens) AS total_gemini,
    candidates > 0 AND prompt_gemini + candidates = ifNull(total_gemini, 0) AS are_thoughts_inside,

    -- `bedrock.tokens`: the cache is outside the input.
    coalesce(u.cacheReadInputTokens, u.cacheReadInputTokenCount) AS read_bedrock,
    coalesce(u.cacheWriteInputTokens, u.cacheWriteInputTokenCount) AS written_bedrock,

    -- `cohere.tokens`: what was counted comes before what is billed.
    u.tokens.input_tokens IS NULL AND u.tokens.output_tokens IS NULL AS is_only_billed,

    ifNull(multiIf(
        shape = 'chat', multiIf(
            is_only_total, u.total_tokens,
            beside_chat > 0 AND beside_chat != ifNull(reasoning_chat, 0) AND beside_chat = ifNull(audio, 0),
                ifNull(u.prompt_tokens, 0) + audio,
            u.prompt_tokens),
        shape = 'responses', if(
            beside_responses > 0 AND beside_responses != ifNull(reasoning_responses, 0)
                AND beside_responses = ifNull(u.cache_read_input_tokens, 0) + ifNull(u.cache_creation_input_tokens, 0),
            ifNull(u.input_tokens, 0) + toUInt64(beside_responses), u.input_tokens),
        shape = 'messages', arraySum(i -> ifNull(i.1, 0) + ifNull(i.3, 0), billed) + arraySum(w -> ifNull(w, 0), written),
        shape IN ('gemini', 'interaction'), prompt_gemini,
        shape = 'bedrock', ifNull(coalesce(u.inputTokens, u.inputTokenCount), 0) + ifNull(read_bedrock, 0) + ifNull(written_bedrock, 0),
        shape = 'cohere', if(is_only_billed,
            ifNull(u.billed_units.input_tokens, 0) + ifNull(u.billed_units.image_tokens, 0),
            ifNull(u.tokens.input_tokens, 0) + ifNull(u.tokens.image_tokens, 0)),
        shape = 'root', coalesce(u.prompt_eval_count, u.prompt_token_count, u.inputTextTokenCount,
            u.num_tokens_prompt_total, u.input_token_count, u.token_count, u.tokens_evaluated, u.tokens_input,
            u.token_input_count),
        NULL), 0) AS prompt,

    ifNull(multiIf(
        shape = 'chat', if(beside_chat > 0 AND NOT is_only_total AND beside_chat = ifNull(reasoning_chat, 0),
            ifNull(u.completion_tokens, 0) + reasoning_chat, u.completion_tokens),
        shape = 'responses', if(beside_responses > 0 AND beside_responses = ifNull(reasoning_responses, 0),
            ifNull(u.output_tokens, 0) + reasoning_responses, u.output_tokens),
        shape = 'messages', arraySum(i -> ifNull(i.2, 0), billed),
        shape IN ('gemini', 'interaction'), if(are_thoughts_inside, candidates, candidates + ifNull(thoughts, 0)),
        shape = 'bedrock', coalesce(u.outputTokens, u.outputTokenCount),
        shape = 'cohere', if(is_only_billed, u.billed_units.output_tokens, u.tokens.output_tokens),
        shape = 'root', coalesce(u.eval_count, u.generation_token_count, u.tokenCount, u.totalOutputTextTokenCount,
            u.num_tokens_generated, u.generated_token_count, u.output_token_count,
            u.tokens_predicted, u.tokens_generated, u.token_output_count),
        NULL), 0) AS completion,

    -- The provider's own total where it is above 0, else the sum.
    ifNull(multiIf(
        shape IN ('chat', 'responses', 'interaction'), u.total_tokens,
        shape = 'gemini', u.totalTokenCount,
        shape = 'bedrock', u.totalTokens,
        NULL), 0) AS own_total,

    multiIf(
        shape = 'chat', coalesce(u.prompt_tokens_details.cached_tokens, u.prompt_token_details.cached_tokens,
            u.prompt_cache_hit_tokens, u.cached_tokens, u.num_cached_tokens, u.cache_read_input_tokens),
        shape = 'responses', coalesce(u.input_tokens_details.cached_tokens, u.input_token_details.cached_tokens,
            u.prompt_tokens_details.cached_tokens, u.cache_read_input_tokens),
        shape = 'messages', if(arrayExists(i -> i.3 IS NOT NULL, billed), arraySum(i -> ifNull(i.3, 0), billed), NULL),
        shape = 'gemini', u.cachedContentTokenCount,
        shape = 'interaction', u.total_cached_tokens,
        shape = 'bedrock', read_bedrock,
        shape = 'cohere', u.cached_tokens,
        NULL) AS cached,

    multiIf(
        shape = 'chat', coalesce(u.prompt_tokens_details.cache_write_tokens, u.prompt_token_details.cache_write_tokens,
            u.prompt_tokens_details.cache_creation_tokens, u.prompt_token_details.cache_creation_tokens,
            u.cache_creation_input_tokens),
        shape = 'responses', coalesce(u.input_tokens_details.cache_write_tokens, u.input_token_details.cache_write_tokens,
            u.cache_creation_input_tokens),
        shape = 'messages', if(arrayExists(w -> w IS NOT NULL, written), arraySum(w -> ifNull(w, 0), written), NULL),
        shape = 'bedrock', written_bedrock,
        NULL) AS cache_write,

    multiIf(
        shape = 'chat', reasoning_chat,
        shape = 'responses', reasoning_responses,
        shape = 'messages', coalesce(u.output_tokens_details.thinking_tokens, u.output_tokens_details.reasoning_tokens),
        shape IN ('gemini', 'interaction'), thoughts,
        shape = 'cohere', u.tokens.reasoning_tokens,
        NULL) AS reasoning,

    4294967295 AS largest -- of UInt32; the daemon clamps to it

SELECT
    id, organization_id, created_at, provider, model, usage_source, usage_json,
    shape AS usage_shape,
    toUInt32(least(prompt, largest)) AS recomputed_prompt_tokens,
    toUInt32(least(completion, largest)) AS recomputed_completion_tokens,
    toUInt32(least(if(own_total > 0, own_total, prompt + completion), largest)) AS recomputed_total_tokens,
    if(cached IS NULL, NULL, toUInt32(least(assumeNotNull(cached), largest))) AS recomputed_cached_input_tokens,
    if(cache_write IS NULL, NULL, toUInt32(least(assumeNotNull(cache_write), largest))) AS recomputed_cache_write_tokens,
    if(reasoning IS NULL, NULL, toUInt32(least(assumeNotNull(reasoning), largest))) AS recomputed_reasoning_tokens,
    prompt_tokens != recomputed_prompt_tokens
        OR completion_tokens != recomputed_completion_tokens
        OR total_tokens != recomputed_total_tokens
        OR ifNull(toInt64(cached_input_tokens), -1) != ifNull(toInt64(recomputed_cached_input_tokens), -1)
        OR ifNull(toInt64(cache_write_tokens), -1) != ifNull(toInt64(recomputed_cache_write_tokens), -1)
        OR ifNull(toInt64(reasoning_tokens), -1) != ifNull(toInt64(recomputed_reasoning_tokens), -1) AS differs
FROM llm_traces;
