"""Recognition of LLM calls: provider and call type by host and path. Pure.

Invariants:
- An unknown host costs one look-up here; its path is not read.
- Only a POST to a path that runs a model is a call: listings, uploads, batches, token counts and
  polling are not, because they would count tokens twice or not at all.
- Provider names equal those of the daemon; a test compares them.

Sources: the providers' API references, sections "Base URL" and "Endpoints" of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit


class Call(NamedTuple):
    """What host and path tell of a call; empty texts where they tell nothing."""

    provider: str
    type: str
    is_stream: bool
    """The path alone says so: Gemini's and Bedrock's do."""


_PROVIDERS: Final = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google",
    "aiplatform.googleapis.com": "vertex",
    "api.mistral.ai": "mistral",
    "codestral.mistral.ai": "mistral",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "xai",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.voyageai.com": "voyage",
    "api.perplexity.ai": "perplexity",
    "api.cerebras.ai": "cerebras",
    "ollama.com": "ollama",
    "api.replicate.com": "replicate",
    "router.huggingface.co": "huggingface",
    "api-inference.huggingface.co": "huggingface",
    "api.aleph-alpha.com": "alephalpha",
    "api.writer.com": "writer",
    "api.ai21.com": "ai21",
    "api.deepinfra.com": "deepinfra",
    "api.moonshot.ai": "moonshot",
    "api.moonshot.cn": "moonshot",
    "open.bigmodel.cn": "zhipu",
    "api.z.ai": "zhipu",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "integrate.api.nvidia.com": "nvidia",
    "api.sambanova.ai": "sambanova",
    "api.studio.nebius.ai": "nebius",
    "api.studio.nebius.com": "nebius",
    "api.tokenfactory.nebius.com": "nebius",
    "api.hyperbolic.xyz": "hyperbolic",
    "api.novita.ai": "novita",
    "api.jina.ai": "jina",
    "models.inference.ai.azure.com": "azure",
    "models.github.ai": "github",
    "ai-gateway.vercel.sh": "vercel",
    "gateway.ai.cloudflare.com": "cloudflare",
    "api.cloudflare.com": "cloudflare",
    "api.upstage.ai": "upstage",
    "api.reka.ai": "reka",
    "api.inceptionlabs.ai": "inception",
    "api.lambda.ai": "lambda",
    "api.friendli.ai": "friendli",
    "inference.baseten.co": "baseten",
    "qianfan.baidubce.com": "baidu",
    "api.siliconflow.cn": "siliconflow",
    "api.siliconflow.com": "siliconflow",
}

_SUFFIXES: Final = (
    (".openai.azure.com", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    (".inference.ai.azure.com", "azure"),
    (".api.openai.com", "openai"),
    ("-aiplatform.googleapis.com", "vertex"),
    (".api.x.ai", "xai"),
    (".ml.cloud.ibm.com", "watsonx"),
    (".endpoints.huggingface.cloud", "huggingface"),
    (".cloud.databricks.com", "databricks"),
    (".azuredatabricks.net", "databricks"),
    (".snowflakecomputing.com", "snowflake"),
    (".volces.com", "volcengine"),
    (".hunyuan.cloud.tencent.com", "tencent"),
)
"""Patterns of hosts per account, resource or region."""

_PATTERNS: Final = (
    (
        re.compile(r"bedrock-(?:runtime(?:-fips)?|mantle)\.[\w-]+\.(?:amazonaws\.com(?:\.cn)?|api\.aws)"),
        "aws",
    ),
    # A private link to Bedrock: vpce-0a1b-2c3d.bedrock-runtime.us-east-1.vpce.amazonaws.com
    (re.compile(r"[\w.-]+\.bedrock-runtime\.[\w-]+\.vpce\.amazonaws\.com"), "aws"),
    (re.compile(r"dashscope[\w-]*\.aliyuncs\.com"), "alibaba"),
)

_OLLAMA_PORT: Final = 11434

_PATHS: Final = (
    (re.compile(r"/(?:chat/|fim/|agents/)?completions$"), ""),
    (re.compile(r"/responses(?:/compact)?$"), ""),
    (re.compile(r"/(?:messages|complete|interactions)$"), ""),
    (re.compile(r"/conversations(?:/[^/]+(?:/restart)?)?(?:#stream)?$"), ""),  # Mistral's agents
    (re.compile(r"(?:/v\d+|/api)/(?:chat|generate)$"), ""),  # Cohere, Writer, Ollama
    (re.compile(r":(?:generate|streamGenerate)Content$"), ""),
    (re.compile(r":(?:raw|streamRaw)?[pP]redict$"), ""),
    (re.compile(r"/model/[^/]+/(?:converse|invoke)(?:-stream|-with-response-stream)?$"), ""),
    (re.compile(r"/threads/(?:[^/]+/)?runs$"), ""),
    (re.compile(r"/predictions$"), ""),
    (re.compile(r"/ml/v\d[\w-]*/(?:text|deployments/[^/]+/text)/(?:generation|chat)(?:_stream)?$"), ""),
    (re.compile(r"/ml/v\d[\w-]*/generation/text(?:_stream)?$"), ""),
    (re.compile(r"/invocations$"), ""),
    (re.compile(r"/ai/run/@"), ""),  # Cloudflare
    (re.compile(r"/services/aigc/[\w-]+/generation$"), ""),  # Alibaba's own api
    (re.compile(r"/ocr$"), "ocr"),
    (re.compile(r"/(?:\w*embeddings?|embed)$|:(?:embedContent|batchEmbedContents)$"), "embedding"),
    (re.compile(r"/rerank$"), "rerank"),
    (re.compile(r"/images(?:/(?:generations|edits|variations))?$"), "image"),
    (re.compile(r"/audio/(?:transcriptions|translations)$"), "transcription"),
    (re.compile(r"/audio/speech$"), "speech"),
    (re.compile(r"/moderations$"), "moderation"),
)
"""Endings of paths and their call types; empty if the application should name the type."""

# What is in the middle is looked for ahead, so that no part of a path is tried twice.
_EMBEDDING_MODEL = re.compile(r"/model/(?=[^/]*embed)[^/]*/invoke$|/models/(?=[^/]*embedding)[^/]*:predict$")
_STREAM_PATH = re.compile(r":stream\w+$|/(?:converse-stream|invoke-with-response-stream)$|_stream$|#stream$")


class Hosts:
    """Hosts of the providers and of the application's configuration.

    ``named`` are ``"gateway.internal"``, ``"localhost:8000"`` (only this port) or ``".internal"``
    (a suffix), or URLs; a mapping also has their providers' names. The same paths are calls there.
    Raises ValueError for an invalid host.
    """

    def __init__(self, named: Iterable[str] | Mapping[str, str] = ()) -> None:
        names = [named] if isinstance(named, str) else named
        providers = named if isinstance(named, Mapping) else {}
        self._named = {_host_of(name): providers.get(name, "") for name in names}
        self.provider = lru_cache(maxsize=1024)(self._provider)

    def recognize(self, method: str, host: str, port: int | None, path: str) -> Call | None:
        """Return the call of the exchange, or None."""
        provider = self.provider(host, port)
        if provider is None or method != "POST":
            return None
        kind = call_type(path)
        return None if kind is None else Call(provider, kind, _STREAM_PATH.search(path) is not None)

    def _provider(self, host: str, port: int | None) -> str | None:
        """Return the provider, "" for a configured host without one, None for an unknown host."""
        host = host.lower().rstrip(".")
        for name, provider in self._named.items():
            if name in (host, f"{host}:{port}") or (name.startswith(".") and host.endswith(name)):
                return provider or known_provider(host, port) or ""
        return known_provider(host, port)


def known_provider(host: str, port: int | None) -> str | None:
    """Return the provider of a host."""
    provider = _PROVIDERS.get(host)
    if provider is None and port == _OLLAMA_PORT:
        provider = "ollama"
    if provider is None:
        provider = next((name for suffix, name in _SUFFIXES if host.endswith(suffix)), None)
    if provider is None:
        provider = next((name for pattern, name in _PATTERNS if pattern.fullmatch(host)), None)
    return provider


@lru_cache(maxsize=1024)
def call_type(path: str) -> str | None:
    """Return the call type of a path, "" if the application should name it, None if it is not a call."""
    path = path.rstrip("/")
    if _EMBEDDING_MODEL.search(path):
        return "embedding"
    return next((kind for pattern, kind in _PATHS if pattern.search(path)), None)


def _host_of(name: str) -> str:
    host = urlsplit(name if "//" in name else f"//{name}").netloc.rpartition("@")[2].lower()
    if not host:
        raise ValueError(f"not a valid host: {name!r}")
    return host
