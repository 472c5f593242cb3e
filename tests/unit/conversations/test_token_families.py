"""Families of tokenizers by provider and model."""

from __future__ import annotations

import pytest

from llmledgerd.conversations.token_families import family_of


@pytest.mark.parametrize(
    ("provider", "model", "family"),
    [
        ("openai", "gpt-4o-2024-08-06", "openai"),
        ("openai", "gpt-4.1-mini", "openai"),
        ("azure", "gpt-5", "openai"),
        ("openai", "gpt-4-0613", "openai_older"),
        ("azure", "gpt-35-turbo-16k", "openai_older"),
        ("openrouter", "anthropic/claude-sonnet-4", "anthropic"),
        ("bedrock", "us.anthropic.claude-opus-4-7-v1:0", "anthropic"),
        ("vertex_ai", "google/gemini-2.5-flash", "gemini"),
        ("ollama", "gemma3:12b", "gemini"),
        ("mistral", "mistral-large-latest", "mistral"),
        ("mistral", "open-mixtral-8x22b", "mistral"),
        ("together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama"),
        ("groq", "deepseek-r1-distill-llama-70b", "llama"),
        ("groq", "deepseek-r1-distill-qwen-32b", "qwen"),
        ("deepseek", "deepseek-chat", "deepseek"),
        ("deepseek", "", "deepseek"),
        ("dashscope", "qwen3-max", "qwen"),
        ("ollama", "phi4", "openai"),
        ("xai", "grok-4", "openai"),
        ("", "", "openai"),
    ],
)
def test_a_model_has_the_tokenizer_that_its_name_says(provider: str, model: str, family: str) -> None:
    assert family_of(provider, model).name == family


def test_models_that_count_alike_share_one_family() -> None:
    assert family_of("openai", "gpt-4o") is family_of("azure", "GPT-4.1")
    assert family_of("openai", "gpt-4o") is not family_of("openai", "gpt-5-mini")
