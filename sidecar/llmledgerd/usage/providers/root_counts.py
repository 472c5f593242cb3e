"""Counts that stand beside the answer instead of in a usage object.

Invariant: what is read becomes one small object under the provider's own names, so that
``usage_json`` says where the numbers come from.

Sources: Ollama API docs, "Generate a chat completion"; Bedrock user guide, "Meta Llama models" and
"Amazon Titan Text models"; IBM watsonx.ai API reference, "Text generation"; Aleph Alpha API
reference, "Completion"; Vertex AI reference, "Text embeddings API" (``statistics``); llama.cpp
server docs, "POST /completion"; Replicate HTTP API, "Get a prediction" (``metrics``); DeepInfra docs,
"Native API" (``inference_status``).
"""

from __future__ import annotations

from typing import Final

import msgspec

from llmledgerd.usage.api import Api, UsageShape
from llmledgerd.usage.decode import Json, Members, count, encode, fit, is_object, items, join, members, value
from llmledgerd.usage.exchange_facts import Facts, PricedUsage
from llmledgerd.usage.tokens import Count, add, counted, first

ROOT_NAMES = (
    "prompt_eval_count",
    "eval_count",
    "prompt_token_count",
    "generation_token_count",
    "inputTextTokenCount",
    "totalOutputTextTokenCount",
    "num_tokens_prompt_total",
    "num_tokens_generated",
    "tokens_evaluated",
    "tokens_predicted",
)
"""Ollama's, Llama's on Bedrock, Titan's (the second in streams alone), Aleph Alpha's, llama.cpp's."""

RESULT_NAMES = ("input_token_count", "generated_token_count", "tokenCount")
"""watsonx's and Titan's, in each result; what is kept is the sum over the results."""


OBJECT_NAMES = frozenset(
    {"input_token_count", "output_token_count", "token_input_count", "token_output_count"}
    | {"tokens_input", "tokens_generated", "image_count", "image_output_count"}
)
"""Replicate's and DeepInfra's, in objects that hold other things as well."""


class RootCounts(msgspec.Struct):
    """Of these names, those of one provider are set."""

    prompt_eval_count: Count = None
    eval_count: Count = None
    prompt_token_count: Count = None
    generation_token_count: Count = None
    input_text_token_count: Count = msgspec.field(default=None, name="inputTextTokenCount")
    result_token_count: Count = msgspec.field(default=None, name="tokenCount")
    streamed_token_count: Count = msgspec.field(default=None, name="totalOutputTextTokenCount")
    num_tokens_prompt_total: Count = None
    num_tokens_generated: Count = None
    input_token_count: Count = None
    generated_token_count: Count = None
    output_token_count: Count = None
    embedding_token_count: Count = msgspec.field(default=None, name="token_count")
    tokens_evaluated: Count = None
    tokens_predicted: Count = None
    tokens_input: Count = None
    tokens_generated: Count = None
    token_input_count: Count = None
    token_output_count: Count = None


_decode = msgspec.json.Decoder(RootCounts).decode


def tokens(raw: Json) -> Facts:
    """Return what the object of such counts comes to."""
    counts, is_whole = fit(raw, RootCounts, _decode)
    prompt = first(
        counts.prompt_eval_count,
        counts.prompt_token_count,
        counts.input_text_token_count,
        counts.num_tokens_prompt_total,
        counts.input_token_count,
        counts.embedding_token_count,
        counts.tokens_evaluated,
        counts.tokens_input,
        counts.token_input_count,
    )
    completion = first(
        counts.eval_count,
        counts.generation_token_count,
        counts.result_token_count,
        counts.streamed_token_count,
        counts.num_tokens_generated,
        counts.generated_token_count,
        counts.output_token_count,
        counts.tokens_predicted,
        counts.tokens_generated,
        counts.token_output_count,
    )
    priced = PricedUsage(input=prompt or 0, output=completion or 0)
    return counted(prompt=prompt, completion=completion, priced=[priced], is_whole=is_whole, has_output=False)


def counts_of(reply: Members) -> Members:
    """Return the counts that stand in an answer itself, under their own names."""
    found: Members = {name: reply[name] for name in ROOT_NAMES if name in reply}
    if "results" in reply:
        results = [members(one) for one in items(reply["results"])]
        for name in RESULT_NAMES:
            _keep(found, name, add(*(count(value(one.get(name))) for one in results)))
    if "predictions" in reply:
        _keep(found, "token_count", add(*map(_embedded, items(reply["predictions"]))))
    return found


def usage_of_root(reply: Members) -> bytes:
    """Return those counts as one object, or b""."""
    found = counts_of(reply)
    return join(found) if found else b""


def _keep(into: Members, name: str, found: int | None) -> None:
    if found is not None:
        into[name] = encode(found)


def _embedded(prediction: Json) -> int | None:
    """Return the tokens of one embedding of Vertex's ``:predict``."""
    embeddings = members(prediction).get("embeddings", b"")
    statistics = members(embeddings).get("statistics") if is_object(embeddings) else None
    return count(value(members(statistics).get("token_count"))) if statistics else None


API: Final = Api(
    usage=(UsageShape(tokens, any_of=frozenset(RootCounts.__struct_encode_fields__)),),
)
