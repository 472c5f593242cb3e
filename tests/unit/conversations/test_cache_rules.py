"""Which rule applies to which model."""

from __future__ import annotations

import pytest

from llmledgerd.conversations.cache_rules import LONGEST, UNKNOWN, asked_seconds, rule_for


@pytest.mark.parametrize(
    ("provider", "model", "minimum", "seconds", "is_marked"),
    [
        ("anthropic", "claude-sonnet-4-5-20250929", 1024, 300, True),
        ("anthropic", "claude-opus-5", 512, 300, True),
        ("anthropic", "claude-opus-4-7", 2048, 300, True),
        ("anthropic", "claude-opus-4-5-20251101", 4096, 300, True),
        ("anthropic", "claude-3-5-haiku-20241022", 2048, 300, True),
        ("openrouter", "anthropic/claude-haiku-4.5", 4096, 300, True),
        ("bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", 1024, 300, True),
        ("bedrock", "amazon.nova-pro-v1:0", 1000, 300, True),
        ("openai", "gpt-4o-2024-08-06", 1024, 300, False),
        ("azure", "gpt-4.1", 1024, 300, False),
        ("openai", "o4-mini", 1024, 300, False),
        ("openai", "gpt-5.5", 1024, 86_400, False),
        ("openai", "gpt-5-2025-08-07", 1024, 300, False),
        ("openai", "gpt-5.2-2025-12-11", 1024, 300, False),
        ("openai", "gpt-5.6-mini", 1024, 1800, False),
        ("google", "gemini-2.5-pro", 2048, 3600, False),
        ("google", "gemini-3.1-pro-preview", 4096, 3600, False),
        ("deepseek", "deepseek-chat", 64, 7200, False),
        ("groq", "openai/gpt-oss-120b", 128, 7200, False),
        ("xai", "grok-4", 0, 0, False),
    ],
)
def test_the_model_s_name_decides_before_the_provider_s(
    provider: str, model: str, minimum: int, seconds: int, is_marked: bool
) -> None:
    found = rule_for(provider, model)
    assert (found.minimum, found.seconds, found.is_marked) == (minimum, seconds, is_marked)


def test_nothing_is_known_of_a_provider_that_is_not_listed() -> None:
    assert rule_for("somebody", "some-model") is UNKNOWN


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4"), ("openai", "gpt-4-0613"), ("openai", "gpt-4-1106-preview"), ("azure", "gpt-35-turbo"),
        ("openai", "gpt-4-turbo"), ("openai", "gpt-4o-2024-05-13"), ("openai", "chatgpt-4o-latest"),
        ("together", "deepseek-ai/DeepSeek-V3"), ("openrouter", "qwen/qwen3-235b-a22b"), ("google", "gemini-1.5-pro"),
    ],
)  # fmt: skip
def test_models_without_a_cache_and_other_hosts_of_open_weights_state_none(provider: str, model: str) -> None:
    assert not rule_for(provider, model).is_stated


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4.1"), ("openai", "gpt-4.1-mini-2025-04-14"), ("openai", "gpt-4.5-preview"),
        ("openai", "gpt-4o"), ("openai", "ft:gpt-4o-mini-2024-07-18:acme::a"), ("openai", "o1-mini"),
        ("openai", "gpt-5-2025-08-07"), ("deepseek", "deepseek-chat"), ("alibaba", "qwen-plus"),
        ("google", "gemini-2.5-flash-lite"), ("google", "gemini-3-pro-preview"), ("xai", "grok-4-0709"),
    ],
)  # fmt: skip
def test_models_with_a_cache_state_it(provider: str, model: str) -> None:
    assert rule_for(provider, model).is_stated


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [("5m", 300), ("1h", 3600), ("24h", 86_400), ("in_memory", 0), ("", 0), ("9999999h", LONGEST)],
)
def test_a_lifetime_is_read_as_it_is_asked_for(ttl: str, seconds: int) -> None:
    assert asked_seconds(ttl) == seconds
