"""How a call was served: the tier and the region that its price depends on.

Invariant: the reply's word comes before the request's, since a tier that was asked for may have been refused.
A request's word that leaves the choice to the provider says nothing.

Sources: OpenAI API reference, "Create a response" (``service_tier``); Anthropic docs, "Fast mode"
(``usage.speed``), "Data residency" (``inference_geo``) and "Service tiers"; Amazon Bedrock API reference,
"Converse" (``serviceTier``, ``performanceConfig``) and user guide, "Service tiers for optimizing performance
and cost" (headers of InvokeModel); Vertex AI reference, "UsageMetadata: TrafficType"; Gemini API docs, "Flex
inference" and "Priority inference".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from llmledgerd.usage.decode import REFUSED, Json, Members, is_object, members, text, value
from llmledgerd.usage.exchange_facts import Exchange, Facts
from llmledgerd.usage.response_fields import ABSENT, Reply

FAST: Final = "fast"
OPTIMIZED: Final = "optimized"

TRAFFIC: Final = {
    "ON_DEMAND": "standard",
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_FLEX": "flex",
    "PROVISIONED_THROUGHPUT": "provisioned_throughput",
}
"""Vertex's types of traffic as tiers; one that is not listed stays as it is, in lower case."""

LEFT_OPEN: Final = frozenset({"", "auto", "standard_only", "service_tier_unspecified"})
"""Words of a request that choose no tier."""

TRAFFIC_NUMBERS: Final = {0: "", 1: "ON_DEMAND", 2: "PROVISIONED_THROUGHPUT"}
"""The same as numbers, which some of Google's clients write in place of names."""

NOWHERE: Final = frozenset({"not_available", "unspecified"})
"""Words for a region that is not known."""

SAYING_MORE: Final = frozenset({"aws", "anthropic"})
"""Providers whose calls have a latency or a speed beside their tier."""

TIER_HEADER: Final = "x-amzn-bedrock-service-tier"
GEMINI_HEADER: Final = "x-gemini-service-tier"
LATENCY_HEADER: Final = "x-amzn-bedrock-performanceconfig-latency"


def add_from_usage(facts: Facts, usage: Members) -> None:
    """Set what a usage object says about tier and region."""
    tier = text(usage.get("service_tier")) or text(usage.get("serviceTier"))
    if not tier and (traffic := _traffic(usage)):
        tier = "" if traffic.endswith("_UNSPECIFIED") else TRAFFIC.get(traffic, traffic.lower())
    facts.service_tier = FAST if text(usage.get("speed")) == FAST else tier
    facts.region = _geo(usage.get("inference_geo"))


def _geo(raw: Json | None) -> str:
    region = text(raw).lower()
    return "" if region in NOWHERE else region


def add_tier(facts: Facts, reply: Reply, exchange: Exchange) -> None:
    """Set the tier that stands in neither the usage nor the reply's own member, or beside them."""
    if facts.provider == "aws":
        facts.service_tier = _of_bedrock(facts.service_tier, reply, exchange.headers)
    elif facts.provider == "google" and exchange.headers:
        facts.service_tier = _lowered(exchange.headers).get(GEMINI_HEADER, "")
    if facts.provider == "anthropic":
        _add_asked_of_anthropic(facts, exchange.request)
    elif not facts.service_tier:
        facts.service_tier = _asked(exchange.request, facts.provider)


def _traffic(usage: Members) -> str:
    """Return Vertex's type of traffic; its OpenAI-compatible address has it among the extra properties."""
    raw = usage.get("trafficType")
    if is_object(extra := usage.get("extra_properties")) and is_object(own := members(extra).get("google")):
        raw = members(own).get("traffic_type")
    found = value(raw)
    if isinstance(found, int):
        return TRAFFIC_NUMBERS.get(found, f"traffic_{found}")
    return found if isinstance(found, str) else ""


def _of_bedrock(tier: str, reply: Reply, headers: Mapping[str, str] | None) -> str:
    """Return Bedrock's tier; a latency that was optimized has a price of its own in each."""
    lowered = _lowered(headers or {})
    latency = _word(reply.performance, "latency") or lowered.get(LATENCY_HEADER, "")
    return (
        OPTIMIZED
        if latency.lower() == OPTIMIZED
        else _word(reply.bedrock_tier, "type") or lowered.get(TIER_HEADER, "") or tier
    )


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): said for name, said in headers.items()}


def _word(raw: Json, name: str) -> str:
    """Return a word that stands by itself, or in an object under a name."""
    return text(members(raw).get(name)) if is_object(raw) else text(raw)


# -- the request ------------------------------------------------------------------


ENDS: Final = 1024, 4096
"""Bytes at a request's start and end where SDKs put the members that are no messages and no tools."""

SNAKE: Final = re.compile(rb'"service_tier"')
EITHER: Final = re.compile(rb'"service_?[tT]ier"')
OF_BEDROCK: Final = re.compile(rb'"service_?[tT]ier"|"performanceConfig"')
OF_ANTHROPIC: Final = re.compile(rb'"speed"|"inference_geo"')
SAID_SPEED: Final = re.compile(rb'"speed"\s*:\s*"')

NAMES: Final = {
    "aws": OF_BEDROCK,
    "google": EITHER,
    "vertex": EITHER,
    "": OF_BEDROCK,
    **dict.fromkeys(("openai", "azure", "groq", "openrouter", "vercel", "fireworks", "cerebras"), SNAKE),
}
"""By provider, the names of a tier in a request; one that is not listed sells a single tier, or says in each
reply which one served it. A whole request is searched for them: large ones take a microsecond for 2 KB."""


class Asked(msgspec.Struct):
    """What a request says about its tier."""

    service_tier: Raw = ABSENT
    camel_tier: Raw = msgspec.field(default=ABSENT, name="serviceTier")
    performance: Raw = msgspec.field(default=ABSENT, name="performanceConfig")
    speed: Raw = ABSENT
    geo: Raw = msgspec.field(default=ABSENT, name="inference_geo")
    config: Raw = msgspec.field(default=ABSENT, name="generationConfig")


_decode = msgspec.json.Decoder(Asked).decode


def _add_asked_of_anthropic(facts: Facts, request: bytes | memoryview) -> None:
    """Set the speed and the region that a request asks for where the usage says nothing of them.

    Each reply names its tier. These two are looked for where SDKs put them.
    """
    lacks_speed = facts.service_tier != FAST and SAID_SPEED.search(facts.usage_json) is None
    lacks_region = not facts.region and b'"inference_geo"' not in facts.usage_json
    start, end = ENDS
    if not (lacks_speed or lacks_region) or not (
        OF_ANTHROPIC.search(request[:start]) or OF_ANTHROPIC.search(request[-end:])
    ):
        return
    try:
        found = _decode(request)
    except REFUSED:
        return
    if lacks_speed and text(found.speed) == FAST:
        facts.service_tier = FAST
    if lacks_region:
        facts.region = _geo(found.geo)


def _asked(request: bytes | memoryview, provider: str) -> str:
    """Return the tier that a request asks for, or "" where it leaves that open."""
    names = NAMES.get(provider)
    if names is None:
        return ""
    if names is SNAKE and isinstance(request, bytes) and SNAKE.pattern not in request:
        return ""  # to look for bytes takes half as long as a pattern
    if not names.search(request):
        return ""
    try:
        found = _decode(request)
    except REFUSED:
        return ""
    if _word(found.performance, "latency").lower() == OPTIMIZED:
        return OPTIMIZED
    if not provider and text(found.speed) == FAST:
        return FAST
    tier = _word(found.service_tier, "type") or _word(found.camel_tier, "type")
    if not tier and is_object(found.config):
        inner = members(found.config)
        tier = text(inner.get("serviceTier")) or text(inner.get("service_tier"))
    return "" if tier.lower() in LEFT_OPEN else tier
