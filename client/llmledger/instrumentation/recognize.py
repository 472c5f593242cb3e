"""Recognition of LLM calls: provider and call type by host and path. Pure.

Invariants:
- An unknown host costs one look-up; of its path only the end is read.
- Only a POST to a path that runs a model is a call: listings, uploads, batches and token counts are not,
  because they would count tokens twice or not at all. A GET that may fetch a later answer is a kind of its own.
- Provider names equal those of the daemon; a test compares them.

Sources: the providers' API references, sections "Base URL" and "Endpoints" of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from llmledger.instrumentation.deferred import Kind, fetched, stored
from llmledger.instrumentation.hosts import OLLAMA_PORT, PATTERNS, PROVIDERS, SUFFIXES


class Call(NamedTuple):
    """What host and path tell of a call; empty texts where they tell nothing."""

    provider: str
    type: str
    is_stream: bool
    """The path alone says so: Gemini's and Bedrock's do."""
    deferred: Kind = ""
    """Not empty: a GET, which may fetch the answer of an earlier call."""


_PATHS: Final = (
    (re.compile(r"/(?:chat/|fim/|agents/)?completions$"), ""),
    (re.compile(r"/responses(?:/compact)?$"), ""),
    (re.compile(r"^(?!.*/threads/).*/messages$"), ""),
    (re.compile(r"^(?!.*/uploads/).*/complete$"), ""),
    (re.compile(r"/interactions$"), ""),
    (re.compile(r"(?:/v\d+|/api)/(?:chat|generate)$"), ""),  # Cohere, Writer, Ollama
    (re.compile(r":(?:generate|streamGenerate)Content$"), ""),
    (re.compile(r":(?:raw|streamRaw)?[pP]redict$"), ""),
    (re.compile(r"/model/[^/]+/(?:converse|invoke)(?:-stream|-with-response-stream)?$"), ""),
    (re.compile(r"/threads/(?:[^/]+/)?runs$"), ""),
    (re.compile(r"/predictions$"), ""),
    (re.compile(r"/ml/v\d[\w-]*/(?:text|deployments/[^/]+/text)/(?:generation|chat)(?:_stream)?$"), ""),
    (re.compile(r"/ml/v\d[\w-]*/generation/text(?:_stream)?$"), ""),
    (re.compile(r"/invocations$"), ""),
    (re.compile(r"/(?:ai/run|workers-ai)/@"), ""),  # Cloudflare
    (re.compile(r"/cortex/inference:complete$"), ""),  # Snowflake
    (re.compile(r"/cortex/inference:embed$"), "embedding"),
    (re.compile(r"/actions/(?:chat|generateText)$"), ""),  # Oracle
    (re.compile(r"/actions/embedText$"), "embedding"),
    (re.compile(r"/actions/rerankText$"), "rerank"),
    (re.compile(r"/services/aigc/[\w-]+/generation$"), ""),  # Alibaba's own api
    (re.compile(r"/services/aigc/[\w-]+/image-synthesis$"), "image"),
    (re.compile(r"/services/embeddings/[\w-]+/[\w-]+$"), "embedding"),
    (re.compile(r"/services/rerank/[\w-]+/[\w-]+$"), "rerank"),
    (re.compile(r"/ocr$"), "ocr"),
    (re.compile(r"/(?:\w*embeddings?|embed)$|:(?:embedContent|batchEmbedContents)$"), "embedding"),
    (re.compile(r"/(?:rerank(?:ing)?|ranking)$"), "rerank"),
    (re.compile(r"/images(?:/(?:generations|edits|variations))?$"), "image"),
    (re.compile(r"/audio/(?:transcriptions|translations)$"), "transcription"),
    (re.compile(r"/audio/speech$"), "speech"),
    (re.compile(r"/moderations$"), "moderation"),
)
"""Endings of paths and their call types; empty if the application should name the type."""

_PROVIDERS_PATHS: Final = {
    "mistral": ((re.compile(r"/conversations(?:/[^/]+(?:/restart)?)?(?:#stream)?$"), ""),),
    "deepinfra": (
        (re.compile(r"/v\d/inference/.*(?:embed|bge-|gte-|e5-)[^/]*$", re.IGNORECASE), "embedding"),
        (re.compile(r"/v\d/inference/.*rerank[^/]*$", re.IGNORECASE), "rerank"),
        (re.compile(r"/v\d/inference/.*whisper[^/]*$", re.IGNORECASE), "transcription"),
        (re.compile(r"/v\d/inference/[^/]+(?:/[^/]+)?$"), ""),
    ),
    "huggingface": (
        (re.compile(r"/pipeline/(?:feature-extraction|sentence-similarity)(?:/|$)"), "embedding"),
        (re.compile(r"(?:^|/)generate(?:_stream)?$"), ""),
        (re.compile(r"/models/[^/]+(?:/[^/]+)?(?:/pipeline/[\w-]+)?$|/pipeline/[\w-]+/[^/]+/[^/]+$"), ""),
    ),
    "cloudflare": (
        (re.compile(r"^/v1/[^/]+/[^/]+$"), ""),  # the universal endpoint: a list of providers to try
        (re.compile(r"^/v1/[^/]+/[^/]+/huggingface/[^/]+(?:/[^/]+)?$"), ""),
    ),
    "baidu": (
        (re.compile(r"/wenxinworkshop/(?:chat|completions)/[^/]+$"), ""),
        (re.compile(r"/wenxinworkshop/embeddings/[^/]+$"), "embedding"),
    ),
    "deepgram": (
        (re.compile(r"^/v\d/listen$"), "transcription"),
        (re.compile(r"^/v\d/speak$"), "speech"),
        (re.compile(r"^/v\d/read$"), ""),
    ),
    "elevenlabs": (
        (re.compile(r"^/v\d/speech-to-text$"), "transcription"),
        (re.compile(r"^/v\d/text-to-(?:speech/[^/]+|dialogue)(?:/stream)?(?:/with-timestamps)?$"), "speech"),
        (re.compile(r"^/v\d/(?:speech-to-speech|voice-changer)/[^/]+(?:/stream)?$"), "speech"),
    ),
    "fireworks": ((re.compile(r"/workflows/.*/(?:text_to_image|image_to_image)$"), "image"),),
}
"""Paths that are calls at one provider alone: OpenAI's ``conversations`` only keep items.

Sources: Mistral "Agents & Conversations"; DeepInfra "Native API"; Hugging Face "HF Inference" and Text Generation
Inference "HTTP API"; Cloudflare "AI Gateway: universal endpoint"; Fireworks "Image generation"; Baidu "ERNIE API";
Deepgram and ElevenLabs "API reference".
"""

_ROOT_OF: Final = re.compile(r"\.endpoints\.huggingface\.cloud$")
"""Hosts that serve one model at ``/`` (Hugging Face "Inference Endpoints")."""

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
        if method == "GET":
            if writer := stored(host, path):
                return Call(provider or writer, "", False, "file")
            kept = fetched(path) if provider is not None else ""
            return Call(provider or "", "", False, kept) if kept else None
        if provider is None or method != "POST":
            return None
        kind = call_type(path, provider)
        if kind is None and path in ("", "/") and _ROOT_OF.search(host):
            kind = ""
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
    provider = PROVIDERS.get(host)
    if provider is None and port == OLLAMA_PORT:
        provider = "ollama"
    if provider is None:
        provider = next((name for suffix, name in SUFFIXES if host.endswith(suffix)), None)
    if provider is None:
        provider = next((name for pattern, name in PATTERNS if pattern.fullmatch(host)), None)
    return provider


def any_call(path: str) -> Call:
    """Return the call at a host that nobody named."""
    return Call("", call_type(path) or "", _STREAM_PATH.search(path) is not None)


@lru_cache(maxsize=1024)
def call_type(path: str, provider: str = "") -> str | None:
    """Return the call type of a path, "" if the application should name it, None if it is not a call.

    ``provider`` is the host's, "" for a host that the application named without one.
    """
    path = path.rstrip("/")
    if _EMBEDDING_MODEL.search(path):
        return "embedding"
    rules = (*_PATHS, *_PROVIDERS_PATHS.get(provider, ()))
    return next((kind for pattern, kind in rules if pattern.search(path)), None)


def _host_of(name: str) -> str:
    host = urlsplit(name if "//" in name else f"//{name}").netloc.rpartition("@")[2].lower()
    if not host:
        raise ValueError(f"not a valid host: {name!r}")
    return host
