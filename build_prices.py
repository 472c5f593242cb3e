"""The price list of the daemon's package, made when the package is built.

The installed release of genai-prices is written as JSON in the form that ``records.pricing.list_data``
reads, so that the daemon runs without that library and what it imports. ``python build_prices.py`` does
the same for a checkout, such as after an upgrade of the library.

Invariant: prices, rules and dates are the release's own, whole. Of its prose only the one word that a
price depends on is taken over.
"""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from genai_prices import types as theirs
from genai_prices.data_snapshot import get_snapshot
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILE = "sidecar/llmledgerd/records/pricing/genai_prices.json"
COMMENT = "weekend"
"""The word of a comment that ``gaps`` looks for."""
PROVIDER = ("id", "api_pattern", "fallback_model_providers")
MODEL = ("id", "match", "context_window", "price_comments", "prices", "price_variants")
"""The fields that the daemon reads."""

encode = msgspec.json.Encoder(decimal_format="number").encode


class PriceListHook(BuildHookInterface[Any]):
    """Hatchling's hook: it writes the file before files are collected, for editable installs too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the file, and name it as one that is built although it is ignored."""
        Path(self.root, FILE).write_bytes(text())
        build_data["artifacts"].append(f"/{FILE}")


def text() -> bytes:
    """Return the file's content: one model per line."""
    return (
        b'{"release": %b,\n"providers": [\n' % encode(version("genai-prices"))
        + b",\n".join(map(_provider, get_snapshot().providers))
        + b"\n]}\n"
    )


def _provider(provider: theirs.Provider) -> bytes:
    models = [encode(_fields(model, MODEL)) for model in provider.models]
    return encode(_fields(provider, PROVIDER))[:-1] + b',"models":[\n' + b",\n".join(models) + b"\n]}"


def _fields(one: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields that are set."""
    found = {name: _plain(getattr(one, name)) for name in names}
    comment = found.get("price_comments") or ""
    if "price_comments" in found:
        found["price_comments"] = COMMENT if COMMENT in comment.lower() else None
    return {name: value for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, theirs.ModelPrice):
        return {key: _plain(price) for key, price in value.__dict__.items() if price is not None}
    if dataclasses.is_dataclass(value):
        named = {field.name.rstrip("_"): getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _plain(inner) for name, inner in named.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


if __name__ == "__main__":
    Path(__file__).parent.joinpath(FILE).write_bytes(text())
