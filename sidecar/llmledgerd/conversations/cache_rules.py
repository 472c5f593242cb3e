"""What providers say of their prompt caches: shortest prefix, lifetime, steps, marks. Data and look-ups; pure.

Invariant: a number here is a provider's own, with its page named beside it; where a provider gives none, the
entry says so (0 or None), and nothing is concluded from it.

The model's name decides before the provider's, because gateways and clouds sell other makers' models.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400
LONGEST: Final = 366 * DAY

LOOKBACK_BLOCKS: Final = 20
"""Blocks before a mark in which Anthropic looks for an entry (docs, "Prompt caching", section "How automatic
prefix checking works")."""


class CacheRule(NamedTuple):
    """How one model's prompts are cached."""

    minimum: int = 0
    """Shortest prefix, in tokens, that is cached; 0: none is documented."""
    seconds: int = 0
    """Lifetime of an entry after its last use; 0: none is documented."""
    step: int = 1
    """Reads are a multiple of this many tokens."""
    is_marked: bool = False
    """Only prefixes up to a mark in the request are cached."""
    is_exact: bool = True
    """Whether an entry's size follows from the counts of the call that made it."""
    omits_none: bool = False
    """Whether a response that reports no reads may mean that nothing was read."""
    is_stated: bool = True
    """Whether the provider says that this model's prompts are cached. Where it does not, a call's entry is known to
    exist only if the call itself has read from the cache: many gateways and servers report 0 reads for every model."""


_CLAUDE_MINIMA: Final = (
    (re.compile(r"opus-5|fable-5|mythos-5"), 512),
    (re.compile(r"opus-4-7"), 2048),
    (re.compile(r"opus-4-[56]|haiku-4-5"), 4096),
    (re.compile(r"3-5-haiku|haiku-3|3-haiku"), 2048),
)
"""Anthropic docs, "Prompt caching", section "Cache limitations"; all others 1,024."""

_OPENAI: Final = CacheRule(minimum=1024, seconds=5 * MINUTE, step=128)
"""OpenAI docs, "Prompt caching": from 1,024 tokens, in steps of 128; cleared after 5 to 10 minutes without use."""
_OPENAI_DAY: Final = _OPENAI._replace(seconds=DAY)
"""GPT-5.5 has the extended retention of 24 hours alone (same page, "Prompt cache retention")."""
_OPENAI_WRITTEN: Final = CacheRule(minimum=1024, seconds=30 * MINUTE)
"""GPT-5.6 and later: entries at breakpoints, at least 30 minutes, writes are counted (`prompt_cache_options`)."""

_NOVA: Final = CacheRule(minimum=1000, seconds=5 * MINUTE, is_marked=True)
"""Amazon Bedrock user guide, "Prompt caching": Nova, checkpoints of 1,000 tokens, five minutes."""
_DEEPSEEK: Final = CacheRule(minimum=64, seconds=2 * HOUR, step=64)
"""DeepSeek docs, "Context caching": units of 64 tokens, cleared after hours to days."""
SETTLING: Final = {"deepseek": 5}
"""Seconds after the answer in which an entry may not be readable yet, by a word of the model's name: DeepSeek builds
it "within seconds" (same page)."""
_GROK: Final = CacheRule(step=1, is_exact=False)
"""xAI docs, "Prompt caching": evicted at any time; neither minimum nor lifetime is given."""
_GROQ: Final = CacheRule(minimum=128, seconds=2 * HOUR, is_exact=False, omits_none=True, is_stated=False)
"""Groq docs, "Prompt caching": some models, 128 to 1,024 tokens by model, two hours without use."""
_QWEN: Final = CacheRule(minimum=256, is_exact=False)
"""Alibaba Model Studio docs, "Context cache": the implicit cache holds from 256 tokens, for no stated time."""

UNKNOWN: Final = CacheRule(is_exact=False, is_stated=False)
"""A provider whose rules are not listed, and models that are older than their provider's cache."""

_GPT_WRITTEN: Final = re.compile(r"gpt-(?:5-(?:[6-9]|[1-9]\d)|[6-9])(?!\d)")  # not `gpt-5-2025-08-07`
_OF_OPENAI: Final = re.compile(r"(?:^|[/.:])(?:gpt-|chatgpt|o[1-9](?:-|$)|codex|computer-use)")
_OF_GEMINI: Final = re.compile(r"gemini-(\d+)-?(\d?)(?!\d)")
_GPT_UNCACHED: Final = re.compile(r"gpt-(?:3|4(?![\do]|-[15](?!\d)))|gpt-4o-2024-05-13|chatgpt-4o")
"""OpenAI docs, "Prompt caching": `gpt-4o` and newer (the announcement leaves out its first snapshot and ChatGPT's)."""
_OPEN_WEIGHTS: Final = (
    ("deepseek", ("deepseek",), _DEEPSEEK),
    ("qwen", ("alibaba", "qwen", "dashscope"), _QWEN),
)
"""Models that others serve as well: name, providers that the rule is of, rule."""

_BY_PROVIDER: Final = {
    "openai": _OPENAI,
    "azure": _OPENAI,
    "deepseek": _DEEPSEEK,
    "xai": _GROK,
    "groq": _GROQ,
}


@lru_cache(1024)
def rule_for(provider: str, model: str) -> CacheRule:
    """Return the rule for a model, as named in a row, of a provider.

    >>> rule_for("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0").minimum
    4096
    """
    name = model.lower().replace(".", "-").replace("_", "-")
    if "claude" in name:
        least = next((tokens for pattern, tokens in _CLAUDE_MINIMA if pattern.search(name)), 1024)
        return CacheRule(minimum=least, seconds=5 * MINUTE, is_marked=True)
    if _OF_OPENAI.search(name) and "gpt-oss" not in name:
        return _of_gpt(name)
    gemini = _OF_GEMINI.search(name)
    if gemini:
        return _of_gemini(int(gemini[1]), int(gemini[2] or 0))
    if "nova" in name and ("amazon" in name or provider.lower() in ("bedrock", "aws", "amazon")):
        return _NOVA
    if "grok" in name:
        return _GROK
    for word, makers, rule in _OPEN_WEIGHTS:
        if word in name and provider.lower() in makers:
            return rule
    return _BY_PROVIDER.get(provider.lower(), UNKNOWN)


def _of_gpt(name: str) -> CacheRule:
    if _GPT_UNCACHED.search(name):
        return UNKNOWN
    if _GPT_WRITTEN.search(name):
        return _OPENAI_WRITTEN
    return _OPENAI_DAY if "gpt-5-5" in name else _OPENAI


def _of_gemini(version: int, minor: int) -> CacheRule:
    """Google gives no lifetime of its implicit cache, which is short; an hour is an explicit one's default.

    Gemini API docs, "Context caching": all models from 2.5 on, from 2,048 tokens for 2.5, from 4,096 for later
    models. A number that is 0 is not in the JSON of Google's APIs (protocol buffers, "ProtoJSON Format").
    """
    minimum, is_stated = 2048 if version <= 2 else 4096, (version, minor) >= (2, 5)
    return CacheRule(minimum=minimum, seconds=HOUR, is_exact=False, omits_none=True, is_stated=is_stated)


def asked_seconds(ttl: str) -> int:
    """Return the lifetime that a request asks for (`5m`, `1h`, `24h`, `3600s`); 0 where it asks for none.

    >>> asked_seconds("1h"), asked_seconds("in_memory")
    (3600, 0)
    """
    found = re.fullmatch(r"(\d{1,7})(s|m|h)", ttl)
    return min(int(found[1]) * {"s": 1, "m": MINUTE, "h": HOUR}[found[2]], LONGEST) if found else 0
