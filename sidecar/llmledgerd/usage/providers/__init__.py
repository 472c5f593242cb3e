"""One module for each API: its hosts, its usage object, its streams. To add one, write it and list it here.

Invariant: the first entry whose shape matches is used, so a shape that shares names with another
stands before it and asks for more.
"""

from __future__ import annotations

from typing import Final

from llmledgerd.usage.api import Api
from llmledgerd.usage.providers import (
    anthropic,
    bedrock,
    cohere,
    gemini,
    ollama,
    openai_chat,
    openai_media,
    openai_responses,
    root_counts,
    watsonx,
)

APIS: Final[tuple[Api, ...]] = (
    openai_chat.API,
    openai_responses.API,
    anthropic.API,
    openai_media.API,
    gemini.API,
    bedrock.API,
    cohere.API,
    ollama.API,
    watsonx.API,
    root_counts.API,
    openai_chat.TOTAL_ALONE,
)
