"""Usage objects of emitters' counts, and whether their input includes the cache. Pure.

Invariant: the usage object has OpenAI's form, in which the prompt includes cache reads and writes. A total that the
emitter gave and that no reading of its counts explains stays as it is, so that ``usage_check`` says ``mismatch``.

Emitters differ in whether ``input`` includes the cache; the rule, in this order (docs/otlp.md has the sources):

1. The total is input, output, reads and writes together: the cache stands beside the input.
2. Reads and writes are more than the input: likewise, since a part is never more than the whole.
3. What is known of the emitter (``Counts.cache_is_beside``).
"""

from __future__ import annotations

from typing import Any

from llmledgerd.otlp.calls import Counts


def is_cache_beside(counts: Counts) -> bool:
    """Return whether the cache's tokens have to be added to the input."""
    cached = (counts.cache_read or 0) + (counts.cache_write or 0)
    if not cached or counts.input is None:
        return False
    if counts.output is not None and counts.total == counts.input + counts.output + cached:
        return True
    return cached > counts.input or counts.cache_is_beside


def usage_of(counts: Counts) -> dict[str, Any] | None:
    """Return the counts as a usage object; None where the emitter gave none."""
    if not counts.is_known:
        return None
    prompt, output = counts.input, counts.output
    naive = _sum(prompt, output)
    if is_cache_beside(counts):
        prompt = (prompt or 0) + (counts.cache_read or 0) + (counts.cache_write or 0)
    if output is not None and counts.reasoning and _is_reasoning_beside(counts, prompt, output):
        output += counts.reasoning
    total = counts.total
    if total is None or total == naive:  # an emitter adds up what it has; that sum is no second opinion
        total = _sum(prompt, output) if prompt is not None and output is not None else total
    found: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total}
    return {
        **{name: value for name, value in found.items() if value is not None},
        **_details("prompt_tokens_details", _prompt_parts(counts)),
        **_details(
            "completion_tokens_details",
            {"reasoning_tokens": counts.reasoning, "audio_tokens": counts.output_audio},
        ),
    }


def _is_reasoning_beside(counts: Counts, prompt: int | None, output: int) -> bool:
    """Return whether the output leaves reasoning out: the total says so, or it is more than the output."""
    reasoning = counts.reasoning or 0
    if counts.total is not None and prompt is not None:
        return counts.total == prompt + output + reasoning
    return counts.reasoning_is_beside or reasoning > output


def _prompt_parts(counts: Counts) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "cached_tokens": counts.cache_read,
        "cache_write_tokens": counts.cache_write,
        "audio_tokens": counts.input_audio,
    }
    if counts.cache_write_1h:
        short = max(0, (counts.cache_write or 0) - counts.cache_write_1h)
        parts["cache_creation_token_details"] = {
            "ephemeral_5m_input_tokens": short,
            "ephemeral_1h_input_tokens": counts.cache_write_1h,
        }
    return parts


def _details(name: str, parts: dict[str, Any]) -> dict[str, Any]:
    known = {part: value for part, value in parts.items() if value is not None}
    return {name: known} if known else {}


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)
