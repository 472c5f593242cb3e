"""OpenAI Chat Completions and everything that speaks it; embeddings and rerank with a total alone.

Invariant: cached, cache-write and reasoning tokens are inside ``prompt_tokens`` and
``completion_tokens``, except where the provider's own total says that they stand beside them.

Sources: OpenAI API reference, "The chat completion object" and "Create embeddings" (``usage``);
DeepSeek API docs, "Create Chat Completion" (``prompt_cache_hit_tokens``); Mistral API docs, "Chat";
xAI docs, "Chat completions"; OpenRouter docs, "Usage accounting"; Voyage AI docs, "Text embeddings"
and "Rerankers" (``total_tokens`` alone).

Streams. Chat Completions chunks and Completions chunks, made whole.

Invariant: the object has the fields of a non-streamed answer: each choice a ``message`` (or ``text``)
in place of its deltas, and the last usage that was an object.

Sources: OpenAI API reference, "The chat completion chunk object" (``stream_options``: the last chunk
has empty ``choices`` and the usage); Groq API reference (``x_groq``); Mistral API docs, "Chat".
"""

from __future__ import annotations

from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Raw

from llmledgerd.usage.api import Api, StreamShape, UsageShape
from llmledgerd.usage.decode import NULL, REFUSED, Json, fit, value
from llmledgerd.usage.exchange_facts import Facts, PricedUsage
from llmledgerd.usage.streams.assembled import Whole, add_text, encoded, inside, merge
from llmledgerd.usage.streams.coalesce import Runs, null, one_of, strict, text_field
from llmledgerd.usage.streams.sse import Events
from llmledgerd.usage.tokens import (
    NO_CREATION,
    READ_BESIDE_TOKENS,
    CacheCreation,
    Count,
    counted,
    first,
    plus,
)


class PromptDetails(msgspec.Struct, gc=False):
    """Parts of the prompt; those of cache creation are LiteLLM's."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    video_tokens: Count = None
    cache_creation_tokens: Count = None
    cache_creation_token_details: CacheCreation | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """Parts of the completion."""

    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    video_tokens: Count = None


class ChatUsage(msgspec.Struct, gc=False):
    """The usage object, with the names of all who speak this dialect."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_token_details: PromptDetails | None = None
    prompt_cache_hit_tokens: Count = None
    cached_tokens: Count = None
    num_cached_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    reasoning_tokens: Count = None
    completion_token_details: CompletionDetails | None = None
    cache_creation_token_details: CacheCreation | None = None
    cache_creation: CacheCreation | None = None
    citation_tokens: Count = None


PlainUsage = cast(
    "type[ChatUsage]",
    msgspec.defstruct(
        "PlainUsage",
        [(name, None, None) for name in sorted({"citation_tokens"} | READ_BESIDE_TOKENS)],
        bases=(ChatUsage,),
        gc=False,
    ),
)
"""The same where nothing else in it is read: such a member may only be null."""

_decode = msgspec.json.Decoder(ChatUsage).decode
_decode_plain = msgspec.json.Decoder(PlainUsage).decode
NO_PROMPT_DETAILS, NO_COMPLETION_DETAILS = PromptDetails(), CompletionDetails()


def tokens(raw: Json) -> Facts:
    """Return what the usage object comes to."""
    return _facts(*fit(raw, ChatUsage, _decode))


def plain_facts(raw: Json) -> Facts | None:
    """Return what a usage object comes to that holds counts of this dialect and nothing else that is read.

    Nearly every one does; one decoding then tells what kind it is and what it says. None for the rest,
    be it an object or not.
    """
    try:
        usage = _decode_plain(raw)
    except REFUSED:
        return None
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return None
    facts = _facts(usage, True)
    facts.usage_json = bytes(raw)
    return facts


def _facts(usage: ChatUsage, is_whole: bool) -> Facts:
    has_parts = usage.prompt_tokens is not None or usage.completion_tokens is not None
    inside = usage.prompt_tokens_details or usage.prompt_token_details or NO_PROMPT_DETAILS
    outside = usage.completion_tokens_details or usage.completion_token_details or NO_COMPLETION_DETAILS
    reasoning = outside.reasoning_tokens
    if reasoning is None:
        reasoning = usage.reasoning_tokens
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    if prompt is None or completion is None or total != prompt + completion:
        prompt, completion = _both(usage, inside.audio_tokens, reasoning)
    cached = inside.cached_tokens
    if cached is None:
        cached = _cached_beside(usage)
    written = inside.cache_write_tokens
    if written is None:
        written = inside.cache_creation_tokens
        if written is None:
            written = usage.cache_creation_input_tokens
    priced = PricedUsage(
        input=prompt or 0,
        output=completion or 0,
        cache_read=cached or 0,
        cache_write=written or 0,
        reasoning=reasoning or 0,
        input_audio=inside.audio_tokens or 0,
        output_audio=outside.audio_tokens or 0,
        input_image=inside.image_tokens or 0,
        output_image=outside.image_tokens or 0,
        input_video=inside.video_tokens or 0,
        output_video=outside.video_tokens or 0,
    )
    if written:
        lifetimes = inside.cache_creation_token_details or usage.cache_creation_token_details
        priced.cache_write_1h = (
            lifetimes or usage.cache_creation or NO_CREATION
        ).ephemeral_1h_input_tokens or 0
    if usage.citation_tokens is not None:
        _add_research(priced, usage)
    return counted(
        prompt=prompt,
        completion=completion,
        total=total,
        cached=cached,
        cache_write=written,
        reasoning=reasoning,
        priced=[priced],
        is_whole=is_whole and has_parts,
        has_parts=has_parts,
    )


def _add_research(priced: PricedUsage, usage: ChatUsage) -> None:
    """Add what Perplexity's deep research counts beside prompt and completion, in neither of them."""
    priced.citation = usage.citation_tokens or 0
    priced.input += priced.citation
    priced.output += usage.reasoning_tokens or 0


def total_alone(raw: Json) -> Facts:
    """Return what a usage object comes to that has a total and no name of a part: all of it is input."""
    usage, is_whole = fit(raw, ChatUsage, _decode)
    facts = _facts(usage, is_whole)
    if is_whole and facts.usage_source == "partial":
        facts.usage_source = "reported"
    return facts


def _both(usage: ChatUsage, audio: int | None, reasoning: int | None) -> tuple[int | None, int | None]:
    """Return prompt and completion, with what the total says to stand beside them.

    - Only a total (Voyage): all of it is input.
    - total = prompt + completion + reasoning (xAI): reasoning stands beside the completion.
    - total = prompt + completion + audio (Mistral): audio stands beside the prompt.
    """
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    if prompt is None and completion is None:
        return total, None
    beside = (total or 0) - (prompt or 0) - (completion or 0)
    if beside <= 0:
        return prompt, completion
    if beside == reasoning:
        completion = plus(completion, beside)
    elif beside == audio:
        prompt = plus(prompt, beside)
    return prompt, completion


def _cached_beside(usage: ChatUsage) -> int | None:
    """Return the cached tokens that stand beside the counts, under the first name that has them.

    DeepSeek: hits; Together and Novita: ``cached_tokens``; older Mistral: ``num_cached_tokens``;
    proxies to Anthropic: its name.
    """
    return first(
        usage.prompt_cache_hit_tokens,
        usage.cached_tokens,
        usage.num_cached_tokens,
        usage.cache_read_input_tokens,
    )


# -- streams ----------------------------------------------------------------------


PADDING = frozenset({"obfuscation", "p"})
"""OpenAI's and Mistral's filler against traffic analysis; no part of the answer."""

TEXTS = ("content", "reasoning_content", "reasoning")
"""A message's texts; a delta of one has the others null, if at all."""

NULLS = ("refusal", "function_call", "audio", "tool_calls")
ENDS = null("finish_reason", "logprobs", "stop_reason")


def _middle(choice: Any) -> type[msgspec.Struct]:
    """Return a chunk from the middle of a stream, whose other members repeat those of the first.

    One choice, the first: streams of several choices are read chunk by chunk.
    """
    fields: list[Any] = [("choices", one_of(choice)), ("usage", Raw, NULL), *null("error")]
    return msgspec.defstruct("Middle", fields, gc=False)


def _choice(*fields: Any) -> type[msgspec.Struct]:
    return strict("Choice", *fields, ("index", Literal[0], 0), *ENDS)


def _chat(name: str) -> tuple[Any, Any]:
    """Return the shape of chunks that go on with one of a message's texts, and what joins them."""
    others = null(*(set(TEXTS) - {name}), *NULLS)
    delta = strict("Delta", text_field(name), ("role", str | None, None), *others)

    def join(found: list[Any]) -> dict[str, Any]:
        role = found[0].choices[0].delta.role
        text = "".join([one.choices[0].delta.piece for one in found])
        return _chunk(found, delta={name: text, **({"role": role} if role else {})})

    return _middle(_choice(("delta", delta))), join


def _azure() -> tuple[Any, Any]:
    """Return the same for Azure's content, where every chunk has the results of its filters."""
    delta = strict("Delta", text_field("content"), *null("refusal"))
    shape = _middle(_choice(("delta", delta), ("content_filter_results", Raw)))

    def join(found: list[Any]) -> dict[str, Any]:
        raws = [one.choices[0].content_filter_results for one in found]
        results: dict[str, Any] = {}
        for raw, before in zip(raws, [None, *raws], strict=False):
            if raw != before and isinstance(changed := value(raw), dict):
                results.update(changed)
        text = "".join([one.choices[0].delta.piece for one in found])
        return _chunk(found, delta={"content": text}, content_filter_results=results)

    return shape, join


def _completions() -> tuple[Any, Any]:
    """Return the same for Completions."""

    def join(found: list[Any]) -> dict[str, Any]:
        return _chunk(found, text="".join([one.choices[0].piece for one in found]))

    return _middle(_choice(text_field("text"))), join


def _calls() -> tuple[Any, Any]:
    """Return the same for the arguments of one tool call that is known already."""
    function = strict("Function", text_field("arguments"), *null("name"))
    call = strict("Call", ("function", function), ("index", int), ("type", str | None, None), *null("id"))
    delta = strict("Delta", ("tool_calls", one_of(call)), *null("content", "role"))

    def join(found: list[Any]) -> dict[str, Any] | None:
        calls = [one.choices[0].delta.tool_calls[0] for one in found]
        if len({call.index for call in calls}) > 1:
            return None
        arguments = "".join([call.function.piece for call in calls])
        return _chunk(
            found, delta={"tool_calls": [{"index": calls[0].index, "function": {"arguments": arguments}}]}
        )

    return _middle(_choice(("delta", delta))), join


def _chunk(found: list[Any], **choice: Any) -> dict[str, Any]:
    """Return the chunk that stands for a run, with the last usage that any of it reports."""
    usage = next((one.usage for one in reversed(found) if one.usage != NULL), NULL)
    return {"choices": [choice], "usage": value(usage)}


MORE_TEXT = Runs(*map(_chat, TEXTS), _azure(), _calls(), _completions())


class Chunks:
    """The answer so far."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._unfinished: set[int] = set()
        self._usage: dict[str, Any] = {}
        self._usage_is_final = False
        self._is_beside_choices = False

    def take(self, chunk: Any) -> None:
        """Add one chunk; what is no object adds nothing."""
        if not isinstance(chunk, dict):
            return
        choices = chunk.pop("choices", None)
        choices = choices if isinstance(choices, list) else []
        usage = _usage_of(chunk, choices)
        for choice in choices:
            if isinstance(choice, dict):
                self._take_choice(choice)
        self._take_root(chunk)
        if usage:
            self._usage, self._usage_is_final = usage, self._is_finished()
            self._is_beside_choices = bool(choices)

    def _is_finished(self) -> bool:
        """Whether every choice that began has ended; of several, one may end long before the others."""
        return bool(self._choices) and not self._unfinished

    def _take_root(self, chunk: dict[str, Any]) -> None:
        for name, field in chunk.items():
            if name not in PADDING and (field or (field is not None and name not in self._root)):
                self._root[name] = field

    def _take_choice(self, choice: dict[str, Any]) -> None:
        index = choice.pop("index", 0)
        index = index if isinstance(index, int) else 0
        if index not in self._choices:
            self._unfinished.add(index)
        so_far = self._choices.setdefault(index, {"index": index})
        delta, message = choice.pop("delta", None), choice.pop("message", None)
        delta = delta if isinstance(delta, dict) else message  # Writer sends every delta twice
        if isinstance(delta, dict):
            merge(inside(so_far, "message"), delta)
        finish = choice.pop("finish_reason", None)
        if finish is not None or "finish_reason" not in so_far:
            so_far["finish_reason"] = finish
            if finish is not None:
                self._unfinished.discard(index)
        choice.pop("usage", None)
        logprobs = choice.pop("logprobs", None)
        if isinstance(logprobs, dict):
            _extend(so_far, logprobs)
        for name, field in choice.items():
            _set(so_far, name, field)

    def whole(self, *, is_done: bool) -> Whole:
        """Return the answer that the chunks so far make up."""
        choices = [_without_indexes(self._choices[index]) for index in sorted(self._choices)]
        root = {**self._root, "choices": choices}
        if isinstance(kind := root.get("object"), str):
            root["object"] = kind.removesuffix(".chunk").removesuffix(".done")  # the last is Perplexity's
        if self._usage:
            root["usage"] = self._usage
        return Whole(
            response=encoded(root),
            complete=is_done or self._is_finished(),
            usage_is_final=is_done or self._usage_is_final,
            choices_may_follow=self._is_beside_choices and not is_done,
        )


def assemble(events: Events) -> Whole:
    """Return the answer that the events make up."""
    chunks = Chunks()
    for chunk in MORE_TEXT.shortened(events):
        chunks.take(chunk)
    return chunks.whole(is_done=events.is_done)


def _usage_of(chunk: dict[str, Any], choices: list[Any]) -> dict[str, Any]:
    """Return a chunk's usage: its own, Groq's ``x_groq.usage``, a choice's; {} where it has none."""
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        return usage
    holders = [chunk["x_groq"], *choices] if "x_groq" in chunk else choices
    for holder in holders:
        if isinstance(holder, dict) and isinstance(usage := holder.get("usage"), dict):
            return usage
    return {}


def _set(so_far: dict[str, Any], name: str, field: Any) -> None:
    """Set a choice's other members: ``text`` goes on, results are updated, the rest is replaced."""
    old = so_far.get(name)
    if name == "text" and isinstance(field, str):
        add_text(so_far, name, field)
    elif isinstance(old, dict) and isinstance(field, dict):
        old.update(field)
    elif field is not None or name not in so_far:
        so_far[name] = field


def _extend(so_far: dict[str, Any], logprobs: dict[str, Any]) -> None:
    """Put a chunk's lists of log probabilities behind those before."""
    into = inside(so_far, "logprobs")
    for name, listed in logprobs.items():
        if isinstance(listed, list) and isinstance(into.get(name), list):
            into[name].extend(listed)
        elif listed is not None or name not in into:
            into[name] = listed


def _without_indexes(choice: dict[str, Any]) -> dict[str, Any]:
    """Drop the indexes of the tool calls, which only deltas have."""
    message = choice.get("message")
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            call.pop("index", None)
    return choice


API: Final = Api(
    hosts=(
        (".openai.azure.com", "azure"),
        (".services.ai.azure.com", "azure"),
        (".cognitiveservices.azure.com", "azure"),
        (".inference.ai.azure.com", "azure"),
        ("models.inference.ai.azure.com", "azure"),
        ("api.openai.com", "openai"),
        (".api.openai.com", "openai"),
        ("api.mistral.ai", "mistral"),
        ("codestral.mistral.ai", "mistral"),
        ("api.eu.mistral.ai", "mistral"),
        ("api.us.mistral.ai", "mistral"),
        (".openai.azure.us", "azure"),
        (".openai.azure.cn", "azure"),
        ("api.groq.com", "groq"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "xai"),
        (".api.x.ai", "xai"),
        ("openrouter.ai", "openrouter"),
        ("api.together.xyz", "together"),
        ("api.together.ai", "together"),
        ("api.fireworks.ai", "fireworks"),
        ("api.voyageai.com", "voyage"),
        ("api.replicate.com", "replicate"),
        ("api.perplexity.ai", "perplexity"),
        ("api.cerebras.ai", "cerebras"),
        ("huggingface.co", "huggingface"),
        (".huggingface.co", "huggingface"),
        (".huggingface.cloud", "huggingface"),
        ("api.aleph-alpha.com", "alephalpha"),
        (".aliyuncs.com", "alibaba"),
        ("api.writer.com", "writer"),
        ("api.ai21.com", "ai21"),
        ("api.deepinfra.com", "deepinfra"),
        ("api.moonshot.ai", "moonshot"),
        ("api.moonshot.cn", "moonshot"),
        ("open.bigmodel.cn", "zhipu"),
        ("api.z.ai", "zhipu"),
        ("api.minimax.io", "minimax"),
        ("api.minimaxi.com", "minimax"),
        ("integrate.api.nvidia.com", "nvidia"),
        ("api.sambanova.ai", "sambanova"),
        ("api.studio.nebius.ai", "nebius"),
        ("api.studio.nebius.com", "nebius"),
        ("api.tokenfactory.nebius.com", "nebius"),
        ("api.hyperbolic.xyz", "hyperbolic"),
        ("api.novita.ai", "novita"),
        ("api.jina.ai", "jina"),
        ("models.github.ai", "github"),
        ("ai-gateway.vercel.sh", "vercel"),
        ("api.cloudflare.com", "cloudflare"),
        ("gateway.ai.cloudflare.com", "cloudflare"),
        (".databricks.com", "databricks"),
        (".cloud.databricks.com", "databricks"),
        (".azuredatabricks.net", "databricks"),
        (".snowflakecomputing.com", "snowflake"),
        ("api.upstage.ai", "upstage"),
        ("api.reka.ai", "reka"),
        ("api.inceptionlabs.ai", "inception"),
        ("api.lambda.ai", "lambda"),
        ("api.friendli.ai", "friendli"),
        ("inference.baseten.co", "baseten"),
        (".volces.com", "volcengine"),
        (".hunyuan.cloud.tencent.com", "tencent"),
        ("qianfan.baidubce.com", "baidu"),
        ("api.siliconflow.cn", "siliconflow"),
        ("api.siliconflow.com", "siliconflow"),
    ),
    usage=(UsageShape(tokens, any_of=frozenset({"prompt_tokens", "completion_tokens"})),),
    streams=(StreamShape(assemble, lambda name, kind, event: "choices" in event),),
)

TOTAL_ALONE: Final = Api(usage=(UsageShape(total_alone, any_of=frozenset({"total_tokens"})),))
"""Embeddings and rerankers that report a total and nothing else; the last shape that is tried."""
