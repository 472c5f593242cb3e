"""What URLs tell."""

from __future__ import annotations

import pytest

from llmledgerd.usage.url_rules import place
from tests.unit.usage.examples import reply


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1/chat/completions", "openai"),
        ("https://eu.api.openai.com/v1/responses", "openai"),
        ("https://x.openai.azure.com/openai/v1/responses", "azure"),
        ("https://x.services.ai.azure.com/models/chat/completions", "azure"),
        ("https://api.anthropic.com/v1/messages", "anthropic"),
        ("https://generativelanguage.googleapis.com/v1beta/models/m:generateContent", "google"),
        ("https://us-central1-aiplatform.googleapis.com/v1/x", "vertex"),
        ("https://aiplatform.googleapis.com/v1/x", "vertex"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse", "aws"),
        ("https://api.x.ai/v1/chat/completions", "xai"),
        ("http://localhost:11434/api/chat", "ollama"),
        ("https://router.huggingface.co/together/v1/chat/completions", "huggingface"),
        ("https://notapi.openai.com.example.org/v1", ""),
        ("https://fakeopenai.azure.com/", ""),
        ("http://localhost:8000/v1/chat/completions", ""),
        ("", ""),
        ("https://[broken", ""),
        ("http://h:99999999/x", ""),
    ],
)
def test_the_host_tells_the_provider(url: str, provider: str) -> None:
    assert place(url).provider == provider


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/gemini-x:streamGenerateContent?alt=sse", "gemini-x"),
        (
            "/v1/projects/p/locations/l/publishers/google/models/text-embedding-004:predict",
            "text-embedding-004",
        ),
        ("/model/us.amazon.nova-v1%3A0/converse-stream", "us.amazon.nova-v1:0"),
        ("/model/us.amazon.nova-v1:0/invoke", "us.amazon.nova-v1:0"),
        ("/endpoints/my-llama/invocations", "my-llama"),
        ("/openai/deployments/my-gpt/chat/completions?api-version=1", ""),
        ("/v1/chat/completions", ""),
        ("/v1/models", ""),
    ],
)
def test_the_path_tells_the_model(path: str, model: str) -> None:
    assert place(f"https://host.example{path}").model == model


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/embeddings", "embedding"),
        ("/v1beta/models/m:batchEmbedContents", "embedding"),
        ("/v2/rerank", "rerank"),
        ("/v1/images/generations", "image"),
        ("/v1/audio/transcriptions", "transcription"),
        ("/v1/audio/speech", "speech"),
        ("/v1/moderations", "moderation"),
        ("/v1/chat/completions", ""),
    ],
)
def test_the_path_tells_the_kind_of_call(path: str, kind: str) -> None:
    assert place(f"https://host.example{path}").call_type == kind


def test_batches_are_marked_and_batched_embeddings_are_not() -> None:
    assert place("https://api.openai.com/v1/batches/b1").is_batch
    assert place("https://api.anthropic.com/v1/messages/batches").is_batch
    assert not place("https://generativelanguage.googleapis.com/v1beta/models/m:batchEmbedContents").is_batch


def test_a_deployment_is_the_model_where_nothing_else_names_one() -> None:
    url = "https://x.openai.azure.com/openai/deployments/my%2Dgpt/chat/completions"
    assert place(url).deployment == "my-gpt"
    assert reply({}, url=url).model == "my-gpt"
    assert reply({}, url=url, request=b'{"model":"gpt-x"}').model == "gpt-x"


def test_a_model_in_the_path_is_what_the_request_asks_for() -> None:
    facts = reply(
        {"modelVersion": "gemini-x-001"}, url="https://host.example/v1beta/models/gemini-x:generateContent"
    )
    assert (facts.model, facts.request_model) == ("gemini-x-001", "gemini-x")
