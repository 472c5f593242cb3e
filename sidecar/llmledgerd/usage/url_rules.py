"""URL rules: the provider by host, the model and call type by path.

Invariant: an unknown URL has empty texts, never a guess. Results are cached, because a service calls few URLs
many times.

Sources: the providers' API references, section "Base URL" or "Authentication" of each.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from llmledgerd.usage.providers import APIS
from llmledgerd.usage.self_hosted import is_self_hosted

REMEMBERED_URLS = 4096
"""Size of the cache, sufficient for a fleet's deployments; an entry takes some 500 bytes."""

LONGEST_URL = 8192
"""Limit of servers; a longer URL is not cached."""


class Place(NamedTuple):
    """Facts of one URL. ``model`` is set if the request names it in the URL instead of the body."""

    provider: str = ""
    model: str = ""
    deployment: str = ""
    call_type: str = ""
    is_batch: bool = False
    region: str = ""
    is_self_hosted: bool = False


HOSTS: Final = tuple(host for api in APIS for host in api.hosts)
"""Hosts, suffixes (with a leading dot) and patterns (``*`` for a region), and their providers."""

OLLAMA_PORT = 11434

MODEL_IN_PATH = (
    re.compile(r"/models/(?P<model>[^/:]+):\w+$"),
    re.compile(r"/model/(?P<model>[^/]+)/(?:converse|invoke)"),
    re.compile(r"/endpoints/(?P<model>[^/]+)/invocations"),
    re.compile(r"/serving-endpoints/(?P<model>[^/]+)/invocations$"),
    re.compile(r"/(?:ai/run|workers-ai)/(?P<model>@(?:cf|hf)/[^/]+/[^/]+)$"),
)
"""Gemini and Vertex, Bedrock, SageMaker, Databricks, Cloudflare: their requests name no model in the body."""

DEPLOYMENT = re.compile(r"/deployments/(?P<model>[^/]+)/")
"""Azure's, which may stand for any model; the body's name says more."""

CALL_TYPES = (
    (re.compile(r"embed", re.IGNORECASE), "embedding"),
    (re.compile(r"/v?\d*/?rerank"), "rerank"),
    (re.compile(r"rerank", re.IGNORECASE), "rerank"),
    (re.compile(r"/images?(?:/|$)"), "image"),
    (re.compile(r"/audio/(?:transcriptions|translations)"), "transcription"),
    (re.compile(r"/audio/speech"), "speech"),
    (re.compile(r"/moderations$"), "moderation"),
)

BATCH = re.compile(r"/batch(?:es|Predictions?|PredictionJobs)?(?:/|$)|:batchGenerateContent$")
"""Batch endpoints; Gemini's ``batchEmbedContents`` is a synchronous call and no batch."""


REGION_IN_HOST: Final = (
    re.compile(r"^(?P<region>[a-z0-9-]+)-aiplatform\.googleapis\.com$"),
    re.compile(r"^aiplatform\.(?P<region>[a-z0-9-]+)\.rep\.googleapis\.com$"),
    re.compile(r"(?:^|\.)bedrock(?:-[a-z-]+)?\.(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d)\."),
    re.compile(r"^(?P<region>[a-z0-9-]+)\.api\.(?:openai\.com|x\.ai)$"),
    re.compile(r"\.(?P<region>[a-z0-9]+)\.(?:inference\.ai|models\.ai)\.azure\.com$"),
    re.compile(r"^(?P<region>[a-z0-9]+)\.api\.cognitive\.microsoft\.com$"),
    re.compile(r"\.azure\.(?P<region>us|cn)$"),
    re.compile(r"^api\.(?P<region>eu|us)\.mistral\.ai$"),
    re.compile(r"^(?P<region>[a-z0-9-]+)\.ml\.cloud\.ibm\.com$"),
)
"""Vertex, Bedrock, OpenAI ("Your data: data residency"), xAI, Azure (also its clouds for the United States'
government and for China), Mistral ("Regional inference"), watsonx."""

IN_CHINA: Final = frozenset({"api.moonshot.cn", "api.minimaxi.com"})
"""Platforms that bill in yuan, beside international ones of the same provider."""

REGION_IN_PATH: Final = re.compile(r"/locations/(?P<region>[a-z0-9-]+)/")
"""Vertex's, which the host need not repeat."""


def place(url: str) -> Place:
    """Return the facts of a URL; none for one of excessive length."""
    return _place(url) if len(url) <= LONGEST_URL else Place()


@lru_cache(maxsize=REMEMBERED_URLS)
def _place(url: str) -> Place:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or ""), parts.port
    except ValueError:
        return Place()
    path = parts.path
    return Place(
        provider=_provider(host, port),
        model=_model(path),
        deployment=unquote(found["model"]) if (found := DEPLOYMENT.search(path)) else "",
        call_type=next((kind for pattern, kind in CALL_TYPES if pattern.search(path)), ""),
        is_batch=BATCH.search(path) is not None,
        region=_region(host, path),
        is_self_hosted=is_self_hosted(host.rstrip(".")),
    )


def _provider(host: str, port: int | None) -> str:
    for suffix, name in HOSTS:
        if "*" in suffix:
            if fnmatchcase(host, suffix):
                return name
        elif host == suffix or (
            host.endswith(suffix) and (suffix[0] == "." or host[-len(suffix) - 1] in ".-")
        ):
            return name
    return "ollama" if port == OLLAMA_PORT else ""


def _region(host: str, path: str) -> str:
    if host in IN_CHINA:
        return "cn"
    for pattern in REGION_IN_HOST:
        if found := pattern.search(host):
            return found["region"]
    found = REGION_IN_PATH.search(path) if host.endswith("googleapis.com") else None
    return found["region"] if found else ""


def _model(path: str) -> str:
    for pattern in MODEL_IN_PATH:
        match = pattern.search(path)
        if match:
            return unquote(match["model"])
    return ""
