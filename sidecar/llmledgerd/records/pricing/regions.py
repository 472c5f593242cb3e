"""Regions that cost more than a price list says.

Invariant: where a provider's documentation says that a region costs more and the list has one price for
all, the call has none; where it says that regions cost the same, the list holds.

Sources: OpenAI docs, "Data residency" (10 % more for models released on or after 2026-03-05); Anthropic
docs, "Data residency" (1.1 times for ``inference_geo`` ``us`` on Opus 4.6 and newer models) and "Claude on
Vertex AI" (10 % more outside ``global`` from Sonnet 4.5 on); Amazon Bedrock pricing (prices by region).
"""

from __future__ import annotations

import re
from typing import Final

_OPENAI_SAME: Final = re.compile(
    r"^(?:ft:)?(?:gpt-3\.5|gpt-35|gpt-4|gpt-5(?:-|$)|gpt-5\.[0-3]|o1|o3|o4|chatgpt-4o|text-|whisper|tts|dall-e|codex-mini"
    r"|gpt-image-1|gpt-audio|gpt-realtime(?:-mini|$)|davinci|babbage|moderation|computer-use)"
)
"""OpenAI's models of before 2026-03-05, by their ids in the list."""
_CLAUDE_SAME_BY_GEO: Final = re.compile(
    r"claude-(?:v?[12]|3|instant|4-(?:opus|sonnet)|(?:opus|sonnet|haiku)-4-[015]|(?:opus|sonnet)-4(?:$|@|-2025)|4-5-|4\.5-)"
)
"""Anthropic's models before Opus 4.6."""
_CLAUDE_SAME_ON_VERTEX: Final = re.compile(
    r"claude-(?:v?[12]|3|4-(?:opus|sonnet)|(?:opus|sonnet)-4-[01]|(?:opus|sonnet)-4(?:$|@|-2025))"
)
"""Anthropic's models before Sonnet 4.5."""
_GEMINI_SAME: Final = re.compile(r"^gemini-(?:pro|flash|1|2|embedding-001|live-2)")
_EVERYWHERE: Final = frozenset({"", "global", "not_available", "unknown"})
_AZURE_CLOUDS: Final = frozenset({"us", "cn"})
"""The ends of hosts in Azure's clouds for the United States' government and for China."""
_AWS_LISTED: Final = frozenset({"us-east-1", "us-east-2", "us-west-2", "us"})
"""The regions that the list's prices of Bedrock are of."""
_AWS_GEO: Final = re.compile(r"(?:^|/)(us-gov|us|eu|apac|jp|au|in|ca|global)\.")


def has_list_price(seller: str, model: str, asked: str, region: str) -> bool:
    """Return whether the list's price of a model holds in a region.

    ``model`` is its id in the list, ``asked`` the name that it was found by.
    """
    if seller == "aws":
        return _on_bedrock(model, asked, region)
    if region in _EVERYWHERE:
        return True
    if seller == "azure":
        # Its price is that of the kind of deployment, which its resource's region does not tell.
        return region not in _AZURE_CLOUDS
    if seller == "openai":
        return _OPENAI_SAME.match(model) is not None
    if seller == "anthropic":
        return _CLAUDE_SAME_BY_GEO.search(model) is not None
    if seller == "google":
        if "claude" in model:
            return _CLAUDE_SAME_ON_VERTEX.search(model) is not None
        return _GEMINI_SAME.match(model) is not None
    return False


def _on_bedrock(model: str, asked: str, region: str) -> bool:
    """Return whether Bedrock's price holds: Anthropic's and OpenAI's are alike in all commercial regions.

    Others' differ by region, and the list's are of the United States; the prefix of a geographic
    inference profile tells the region where no URL does.
    """
    found = _AWS_GEO.search(asked)
    geo = found[1] if found else ""
    if "gov" in geo or "gov" in region or region.startswith("cn-"):
        return False
    if "anthropic." in model or "openai.gpt-5" in model or "openai.gpt-6" in model or geo == "global":
        return True
    return geo in {"", "us"} and region in _EVERYWHERE | _AWS_LISTED
