"""Names of providers and models, as senders and price lists write them.

Invariant: a name never matches another model's price. A model whose name says more than its price's does
("-audio", "-8b", a fine-tune's suffix) has no price; versions and dates are the only additions allowed.

Sources: Vertex AI docs, "Model versions"; Bedrock User Guide, "Model IDs" and "Inference profiles"; Fireworks
docs, "Models"; OpenRouter docs, "Model variants"; Hugging Face docs, "Inference Providers".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llmledgerd.records.pricing.list_data import Rule

ALIASES: Final = {
    "openai-chat": "openai",
    "openai-responses": "openai",
    "openai-completions": "openai",
    "azure-openai": "azure",
    "azureopenai": "azure",
    "azure-ai": "azure",
    "azure-foundry": "azure",
    "claude": "anthropic",
    "gemini": "google",
    "google-ai": "google",
    "google-gemini": "google",
    "google-genai": "google",
    "google-vertex": "google",
    "google-vertexai": "google",
    "google-ai-studio": "google",
    "gcp-vertex-ai": "google",
    "vertex": "google",
    "vertex-ai": "google",
    "vertexai": "google",
    "bedrock": "aws",
    "bedrock-converse": "aws",
    "aws-bedrock": "aws",
    "amazon-bedrock": "aws",
    "amazon": "aws",
    "aws-mantle": "aws",
    "bedrock-mantle": "aws",
    "mistralai": "mistral",
    "mistral-ai": "mistral",
    "xai": "x-ai",
    "grok": "x-ai",
    "together-ai": "together",
    "togetherai": "together",
    "fireworks-ai": "fireworks",
    "moonshot": "moonshotai",
    "moonshot-ai": "moonshotai",
    "kimi": "moonshotai",
    "voyage": "voyageai",
    "voyage-ai": "voyageai",
    "z-ai": "zai",
    "zhipu": "zhipuai",
    "zhipu-ai": "zhipuai",
    "cloudflare-workers-ai": "cloudflare",
    "workers-ai": "cloudflare",
    "cloudflare-ai": "cloudflare",
    "copilot": "github-copilot",
    "open-router": "openrouter",
    "pplx": "perplexity",
    "deep-seek": "deepseek",
    "cohere-ai": "cohere",
}
"""What senders call a provider, by genai-prices' name. Matched whole: ``lmstudio_openai`` runs on the
user's own machine, and a rule that finds ``openai`` in it would bill that."""

SELF_HOSTED: Final = frozenset(
    {
        "ollama", "vllm", "lmstudio", "lm-studio", "lmstudio-openai", "llama-cpp", "llama.cpp", "llamacpp",
        "llamafile", "localai", "local-ai", "local", "text-generation-inference", "tgi", "tei", "sglang", "mlx",
        "mlx-lm", "koboldcpp", "xinference", "aphrodite", "tabbyapi", "hosted-vllm", "oobabooga", "jan", "gpt4all",
        "triton", "tensorrt-llm", "infinity", "self-hosted", "huggingface-tgi", "ollama-chat",
    }
)  # fmt: skip
"""Servers that people run themselves; none of these sells tokens under its name."""

HUGGING_FACE: Final = frozenset({"huggingface", "hf", "hugging-face"})


def provider_name(sent: str) -> str:
    """Return a provider's name as price lists write it, with ``-`` for every separator."""
    plain = sent.strip().lower().replace("_", "-").replace(" ", "-")
    return ALIASES.get(plain, plain)


_PATHS: Final = re.compile(r"^(?:projects/.+/)?(?:locations/.+/)?(?:publishers/[^/]+/)?(?:models|endpoints)/")
"""What Google writes before a model's name."""
_FOUNDATION: Final = re.compile(
    r"^arn:[^:]*:bedrock:[^:]*:[^:]*:(?:foundation-model|inference-profile)/(.+)$"
)
_ROUTES: Final = re.compile(r":(?:nitro|floor|fastest|cheapest)$")


def spellings(name: str, seller: str) -> Iterator[str]:
    """Yield a model's name as a price list may write it, the fullest first.

    A Fireworks path is another account's own model unless that account is ``fireworks``; it stays whole.
    """
    name = name.strip().lower()
    yield name
    bare = _PATHS.sub("", name)
    arn = _FOUNDATION.match(bare)
    bare = arn[1] if arn else bare
    if bare != name:
        yield bare
    first, slash, rest = bare.partition("/")
    if slash and provider_name(first) == seller:
        yield from spellings(rest, seller)
    if seller == "fireworks" and "/" not in bare:
        yield f"accounts/fireworks/models/{bare}"
    if seller == "cloudflare" and "/" in bare and not bare.startswith("@"):
        yield f"@cf/{bare}"
    if seller == "google" and bare.endswith("-001"):
        yield bare.removesuffix("-001")


def is_opaque(name: str) -> bool:
    """Return whether a name says nothing of the model: an ARN of a profile or a deployment of one's own."""
    return name.startswith("arn:") and not _FOUNDATION.match(name)


_VERSION: Final = re.compile(
    r"(?:[-@:._/]?(?:\d+(?:\.\d+)*k?|v\d+|latest|preview|exp|experimental|beta|default))*$"
)
"""What may follow a matched name without making it another model: dates, versions, stages."""
_BEFORE: Final = re.compile(r"(?:^|.*[./:])$")
"""What may stand before one: a region, a vendor or a path."""


def matches(logic: Rule, own: str, name: str) -> bool:
    """Return whether a price's rule means this name, and not one that merely contains it; ``own`` is its id."""
    if not logic.is_match(name):
        return False
    if name == own.lower():
        return True
    exact = [leaf for leaf in logic.leaves() if leaf.is_match(name)]
    return any(_is_whole(leaf, name) for leaf in exact)


def _is_whole(leaf: Rule, name: str) -> bool:
    for literal in (leaf.starts_with, leaf.contains, leaf.ends_with):
        if literal is not None:
            before, _, after = name.partition(literal.lower())
            if literal.startswith("ft:") or ".ft-" in literal:
                return True  # the rest is the organization's and the fine-tune's own name
            return _BEFORE.match(before) is not None and _VERSION.match(after) is not None
    # A rule that only excludes ("not -tts") says nothing of which model it is.
    return leaf.regex is None or not leaf.regex.startswith("^(?!")


_SAME_MODEL: Final = re.compile(r"[-@:](?:\d[\d.-]*|v\d[\d:.]*|latest)$")


def is_version_of(replied: str, asked: str) -> bool:
    """Return whether the reply names no more than a version of the model that was asked for."""
    replied, asked = replied.lower(), asked.lower()
    rest = replied[len(asked) :] if replied.startswith(asked) else "?"
    return not rest or _SAME_MODEL.match(rest) is not None


_ROUTED: Final = re.compile(r"(?:-v\d+(?::\d+)?)?(?::[\w.-]+)?$")
"""What a request's name has behind the reply's: Bedrock's version, a router's provider or variant."""


def says_more(asked: str, replied: str) -> bool:
    """Return whether the request names the reply's model with its vendor, region, version or route."""
    asked, last = asked.lower(), replied.rpartition("/")[2].lower()
    if not last:
        return False
    before, found, after = asked.partition(last)
    return bool(found) and (not before or before[-1] in "./") and _ROUTED.match(after) is not None
