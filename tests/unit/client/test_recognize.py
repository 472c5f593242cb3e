"""Which exchanges are LLM calls. The hosts are those of the providers' own documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llmledger.instrumentation.hosts import PROVIDERS, SUFFIXES
from llmledger.instrumentation.recognize import Call, Hosts, call_type, known_provider
from llmledgerd.usage.url_rules import place

CALLS = {
    "https://api.openai.com/v1/chat/completions": ("openai", ""),
    "https://api.openai.com/v1/responses": ("openai", ""),
    "https://eu.api.openai.com/v1/responses/compact": ("openai", ""),
    "https://api.openai.com/v1/embeddings": ("openai", "embedding"),
    "https://api.openai.com/v1/images/generations": ("openai", "image"),
    "https://api.openai.com/v1/audio/transcriptions": ("openai", "transcription"),
    "https://api.openai.com/v1/audio/speech": ("openai", "speech"),
    "https://api.openai.com/v1/moderations": ("openai", "moderation"),
    "https://api.deepgram.com/v1/listen": ("deepgram", "transcription"),
    "https://api.deepgram.com/v1/speak": ("deepgram", "speech"),
    "https://api.elevenlabs.io/v1/speech-to-text": ("elevenlabs", "transcription"),
    "https://api.us.elevenlabs.io/v1/text-to-speech/voice1/stream/with-timestamps": ("elevenlabs", "speech"),
    "https://aip.baidubce.com/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/completions_pro": ("baidu", ""),
    "https://aip.baidubce.com/rpc/2.0/ai_custom/v1/wenxinworkshop/embeddings/bge_large_zh": (
        "baidu",
        "embedding",
    ),
    "https://eu-de.aws.wxai.ibm.com/ml/v1/text/chat": ("watsonx", ""),
    "https://1234.us-central1-567.prediction.vertexai.goog/v1/projects/p/locations/l/endpoints/e/chat/completions": (
        "vertex",
        "",
    ),
    "https://api.runpod.ai/v2/e1/openai/v1/chat/completions": ("runpod", ""),
    "https://ark.ap-southeast.bytepluses.com/api/v3/chat/completions": ("volcengine", ""),
    "https://api.openai.com/v1/threads/thread_1/runs": ("openai", ""),
    "https://one.openai.azure.com/openai/deployments/gpt/chat/completions": ("azure", ""),
    "https://one.openai.azure.com//openai/deployments/gpt/embeddings": ("azure", "embedding"),
    "https://one.cognitiveservices.azure.com/openai/deployments/gpt/chat/completions": ("azure", ""),
    "https://one.services.ai.azure.com/models/chat/completions": ("azure", ""),
    "https://api.anthropic.com/v1/messages": ("anthropic", ""),
    "https://api.anthropic.com/v1/complete": ("anthropic", ""),
    "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.0-flash:generateContent": (
        "google",
        "",
    ),
    "https://generativelanguage.googleapis.com/v1beta/models/e:batchEmbedContents": ("google", "embedding"),
    "https://generativelanguage.googleapis.com/v1beta/interactions": ("google", ""),
    "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/"
    "gemini-2.0-flash:streamGenerateContent": ("vertex", ""),
    "https://aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict": (
        "vertex",
        "",
    ),
    "https://aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/"
    "text-embedding-004:predict": ("vertex", "embedding"),
    "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-micro-v1%3A0/converse-stream": (
        "aws",
        "",
    ),
    "https://bedrock-runtime.us-east-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3A"
    "inference-profile%2Fx/invoke": ("aws", ""),
    "https://bedrock-runtime.us-east-1.amazonaws.com/model/cohere.embed-v4%3A0/invoke": ("aws", "embedding"),
    "https://bedrock-mantle.us-east-1.api.aws/openai/v1/responses": ("aws", ""),
    "https://vpce-1-2.bedrock-runtime.us-east-1.vpce.amazonaws.com/model/m/invoke": ("aws", ""),
    "https://api.mistral.ai/v1/chat/completions": ("mistral", ""),
    "https://api.mistral.ai/v1/fim/completions": ("mistral", ""),
    "https://api.mistral.ai/v1/conversations": ("mistral", ""),
    "https://api.mistral.ai/v1/ocr": ("mistral", "ocr"),
    "https://api.groq.com/openai/v1/chat/completions": ("groq", ""),
    "https://api.deepseek.com/chat/completions": ("deepseek", ""),
    "https://api.x.ai/v1/chat/completions": ("xai", ""),
    "https://openrouter.ai/api/v1/chat/completions": ("openrouter", ""),
    "https://api.together.xyz/v1/completions": ("together", ""),
    "https://api.fireworks.ai/inference/v1/chat/completions": ("fireworks", ""),
    "https://api.cohere.com/v2/chat": ("cohere", ""),
    "https://api.cohere.com/v2/rerank": ("cohere", "rerank"),
    "https://api.cohere.com/v2/embed": ("cohere", "embedding"),
    "https://api.voyageai.com/v1/embeddings": ("voyage", "embedding"),
    "https://api.perplexity.ai/chat/completions": ("perplexity", ""),
    "https://api.cerebras.ai/v1/chat/completions": ("cerebras", ""),
    "http://localhost:11434/api/chat": ("ollama", ""),
    "http://127.0.0.1:11434/api/generate": ("ollama", ""),
    "http://gpu-box:11434/api/embed": ("ollama", "embedding"),
    "https://us-south.ml.cloud.ibm.com/ml/v1/text/chat_stream": ("watsonx", ""),
    "https://api.replicate.com/v1/models/meta/llama/predictions": ("replicate", ""),
    "https://router.huggingface.co/nebius/v1/chat/completions": ("huggingface", ""),
    "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions": ("alibaba", ""),
    "https://api-inference.together.ai/v1/chat/completions": ("together", ""),
    "https://aiplatform.us.rep.googleapis.com/v1/projects/p/locations/us/publishers/anthropic/models/c:rawPredict": (
        "vertex",
        "",
    ),
    "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/google/models/"
    "gemini-2.5-pro:generateContent": ("vertex", ""),
    "https://aws-external-anthropic.us-east-1.api.aws/v1/messages": ("anthropic", ""),
    "https://claude.googleapis.com/v1/projects/p/locations/l/workspaces/w/invoke/v1/messages": (
        "anthropic",
        "",
    ),
    "https://one.openai.azure.us/openai/deployments/gpt/chat/completions": ("azure", ""),
    "https://one.openai.azure.cn/openai/v1/responses": ("azure", ""),
    "https://one.cognitiveservices.azure.us/openai/deployments/gpt/embeddings": ("azure", "embedding"),
    "https://eastus.api.cognitive.microsoft.com/openai/deployments/gpt/chat/completions": ("azure", ""),
    "https://one.eastus2.models.ai.azure.com/v1/chat/completions": ("azure", ""),
    "https://1.2.gcp.databricks.com/serving-endpoints/llama/invocations": ("databricks", ""),
    "https://one.snowflakecomputing.com/api/v2/cortex/inference:complete": ("snowflake", ""),
    "https://dashscope.aliyuncs.com/api/v1/services/embeddings/text-embedding/text-embedding": (
        "alibaba",
        "embedding",
    ),
    "https://dashscope.aliyuncs.com/api/v1/services/rerank/text-rerank/text-rerank": ("alibaba", "rerank"),
    "https://dashscope.aliyuncs.com/api/v1/services/aigc/text-generation/generation": ("alibaba", ""),
    "https://api.deepinfra.com/v1/inference/meta-llama/Llama-3.3-70B-Instruct": ("deepinfra", ""),
    "https://api.deepinfra.com/v1/inference/BAAI/bge-m3": ("deepinfra", "embedding"),
    "https://router.huggingface.co/hf-inference/models/google/gemma-2-2b-it": ("huggingface", ""),
    "https://router.huggingface.co/hf-inference/models/BAAI/bge-m3/pipeline/feature-extraction": (
        "huggingface",
        "embedding",
    ),
    "https://one.us-east-1.aws.endpoints.huggingface.cloud/generate_stream": ("huggingface", ""),
    "https://one.us-east-1.aws.endpoints.huggingface.cloud/": ("huggingface", ""),
    "https://gateway.ai.cloudflare.com/v1/account/gateway/openai/chat/completions": ("cloudflare", ""),
    "https://gateway.ai.cloudflare.com/v1/account/gateway/compat/chat/completions": ("cloudflare", ""),
    "https://gateway.ai.cloudflare.com/v1/account/gateway/workers-ai/@cf/meta/llama-3.1-8b-instruct": (
        "cloudflare",
        "",
    ),
    "https://gateway.ai.cloudflare.com/v1/account/gateway": ("cloudflare", ""),
    "https://inference.generativeai.us-chicago-1.oci.oraclecloud.com/20231130/actions/chat": ("oracle", ""),
    "https://ai.api.nvidia.com/v1/retrieval/nvidia/reranking": ("nvidia", "rerank"),
    "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu/model/m/converse": ("aws", ""),
    "https://api.mistral.ai/v1/conversations/conv_1/restart": ("mistral", ""),
}

OTHERS = [
    "https://api.openai.com/v1/conversations",
    "https://api.openai.com/v1/conversations/conv_1",
    "https://api.openai.com/v1/conversations/conv_1/items",
    "https://api.openai.com/v1/threads",
    "https://api.openai.com/v1/threads/thread_1/messages",
    "https://one.openai.azure.com/openai/threads/thread_1/messages",
    "https://api.openai.com/v1/uploads/upload_1/complete",
    "https://api.openai.com/v1/uploads/upload_1/parts",
    "https://api.openai.com/v1/vector_stores",
    "https://api.openai.com/v1/vector_stores/vs_1/search",
    "https://api.openai.com/v1/assistants",
    "https://api.openai.com/v1/containers",
    "https://api.openai.com/v1/fine_tuning/jobs",
    "https://api.openai.com/v1/evals/eval_1/runs",
    "https://api.openai.com/v1/responses/input_tokens",
    "https://api.openai.com/v1/chat/completions/chatcmpl_1",
    "https://api.openai.com/v1/realtime/client_secrets",
    "https://api.anthropic.com/v1/files",
    "https://api.anthropic.com/v1/skills",
    "https://api.mistral.ai/v1/agents",
    "https://api.mistral.ai/v1/libraries",
    "https://generativelanguage.googleapis.com/v1beta/cachedContents",
    "https://generativelanguage.googleapis.com/v1beta/models/m:batchGenerateContent",
    "https://api.cohere.com/v1/tokenize",
    "https://api.cohere.com/v1/embed-jobs",
    "https://huggingface.co/api/models/google/gemma",
    "https://gateway.ai.cloudflare.com/v1/account/gateway/openai/files",
    "https://example.com/v1/chat/completions",
    "https://api.openai.com.evil.example/v1/chat/completions",
    "https://notapi.openai.com/v1/chat/completions",
    "https://s3.us-east-1.amazonaws.com/model/m/invoke",
    "https://storage.googleapis.com/v1/models/m:generateContent",
    "http://localhost:8000/v1/chat/completions",
    "https://api.openai.com/v1/files",
    "https://api.elevenlabs.io/v1/voices/add",
    "https://api.deepgram.com/v1/projects/p/keys",
    "https://api.openai.com/v1/batches",
    "https://api.openai.com/v1/models",
    "https://api.openai.com/v1/responses/resp_1/cancel",
    "https://api.openai.com/v1/threads/thread_1/messages/more",
    "https://api.anthropic.com/v1/messages/count_tokens",
    "https://api.anthropic.com/v1/messages/batches",
    "https://generativelanguage.googleapis.com/v1beta/models/m:countTokens",
    "https://generativelanguage.googleapis.com/upload/v1beta/files",
    "http://localhost:11434/api/pull",
]


def recognize(url: str, method: str = "POST", hosts: Hosts | None = None) -> Call | None:
    parts = urlsplit(url)
    return (hosts or Hosts()).recognize(method, parts.hostname or "", parts.port, parts.path)


@pytest.mark.parametrize(("url", "expected"), CALLS.items())
def test_a_call_is_known_by_host_and_path(url: str, expected: tuple[str, str]) -> None:
    call = recognize(url)
    assert call is not None
    assert (call.provider, call.type) == expected


@pytest.mark.parametrize("url", OTHERS)
def test_everything_else_is_none(url: str) -> None:
    assert recognize(url) is None


@pytest.mark.parametrize("url", CALLS)
def test_the_daemon_gives_the_provider_the_same_name(url: str) -> None:
    call = recognize(url)
    assert call is not None
    assert call.provider == place(url).provider


@pytest.mark.parametrize(("host", "provider"), [*PROVIDERS.items(), *SUFFIXES])
def test_every_host_has_the_same_provider_in_the_daemon(host: str, provider: str) -> None:
    assert place(f"https://{'one' if host[0] in '.-' else ''}{host}/v1/messages").provider == provider


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "HEAD"])
def test_only_a_post_is_a_call(method: str) -> None:
    assert recognize("https://api.openai.com/v1/responses", method) is None


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.openai.com/v1/responses/resp_1", "response"),
        ("https://one.openai.azure.com/openai/v1/responses/resp_1", "response"),
        ("https://api.anthropic.com/v1/messages/batches/b_1/results", "results"),
        ("https://api.openai.com/v1/files/file-1/content", "file"),
        ("https://api.groq.com/openai/v1/files/file-1/content", "file"),
        ("https://api.mistral.ai/v1/files/f/content", "file"),
        ("https://generativelanguage.googleapis.com/download/v1beta/files/f:download", "file"),
    ],
)
def test_a_get_may_fetch_a_later_answer(url: str, kind: str) -> None:
    call = recognize(url, "GET")
    assert call is not None
    assert call.deferred == kind
    assert recognize(url, "DELETE") is None
    assert recognize(url.replace(urlsplit(url).netloc, "one.example"), "GET") is None


@pytest.mark.parametrize(
    ("url", "is_stream"),
    [
        ("https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent", True),
        ("https://generativelanguage.googleapis.com/v1beta/models/m:generateContent", False),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse-stream", True),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/m/invoke-with-response-stream", True),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/m/invoke", False),
        ("https://api.openai.com/v1/chat/completions", False),
    ],
)
def test_some_paths_say_that_they_stream(url: str, is_stream: bool) -> None:
    call = recognize(url)
    assert call is not None
    assert call.is_stream is is_stream


@pytest.mark.parametrize(
    ("named", "url", "provider"),
    [
        (["gateway.internal"], "https://gateway.internal/team/v1/chat/completions", ""),
        (["gateway.internal"], "https://GATEWAY.internal:8443/v1/messages", ""),
        (["localhost:8000"], "http://localhost:8000/v1/chat/completions", ""),
        ([".internal"], "http://a.b.internal/v1/messages", ""),
        (["https://user:secret@gateway.internal/v1"], "https://gateway.internal/v1/messages", ""),
        ({"localhost:4000": "litellm"}, "http://localhost:4000/chat/completions", "litellm"),
        ({"api.openai.com": "my-openai"}, "https://api.openai.com/v1/responses", "my-openai"),
        (["api.openai.com"], "https://api.openai.com/v1/responses", "openai"),
        ("gateway.internal", "https://gateway.internal/v1/messages", ""),
    ],
)
def test_named_hosts_are_recognized_too(named: list[str] | dict[str, str], url: str, provider: str) -> None:
    call = recognize(url, hosts=Hosts(named))
    assert call is not None
    assert call.provider == provider


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8001/v1/chat/completions",
        "https://gateway.internal/health",
        "http://internal/v1/messages",
    ],
)
def test_named_hosts_name_no_more_than_they_say(url: str) -> None:
    assert recognize(url, hosts=Hosts(["localhost:8000", "gateway.internal", ".internal"])) is None


def test_a_name_that_is_no_host_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="not a valid host"):
        Hosts([""])


@pytest.mark.skipif("LLMLEDGER_CORPUS" not in os.environ, reason="needs the recorded exchanges")
def test_every_recorded_call_is_recognized() -> None:
    missed = set()
    for line in (Path(os.environ["LLMLEDGER_CORPUS"]) / "open.ndjson").read_text().splitlines():
        exchange = json.loads(line)
        url = urlsplit((exchange["url"] or "").replace("<AWS_REGION>", "us-east-1"))
        # The recorded runs are polls, whose method was not recorded.
        if exchange["method"] != "POST" or exchange["api"] == "openai.runs":
            continue
        provider = known_provider(url.hostname or "", url.port) or ""
        if url.path and call_type(url.path, provider) is None:
            missed.add(exchange["url"])
        if url.hostname and "." in url.hostname and url.hostname != "0.0.0.0":
            missed |= set() if known_provider(url.hostname, url.port) else {exchange["url"]}
    assert missed == set()
