"""The data of the installed release of genai-prices, in the form in which the daemon's package has it.

``make prices`` runs this module: ``python -m tests.helpers.price_data`` writes the file.

Invariant: prices, rules and dates are the release's own, whole. Of its prose only the one word that a
price depends on is taken over.
"""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import Any

import msgspec
from genai_prices import types as theirs
from genai_prices.data_snapshot import get_snapshot

from llmledgerd.records.pricing import list_data

COMMENT = "weekend"
"""The word of a comment that ``gaps`` looks for."""

encode = msgspec.json.Encoder(decimal_format="number").encode


def text() -> bytes:
    """Return the file's content: one model per line, so that a change of prices can be read as one."""
    return (
        b'{"release": %b,\n"providers": [\n' % encode(version("genai-prices"))
        + b",\n".join(map(_provider, get_snapshot().providers))
        + b"\n]}\n"
    )


def _provider(provider: theirs.Provider) -> bytes:
    head = _fields(provider, list_data.Provider)
    models = [encode(_fields(model, list_data.Model)) for model in provider.models]
    head.pop("models", None)
    return encode(head)[:-1] + b',"models":[\n' + b",\n".join(models) + b"\n]}"


def _fields(one: Any, ours: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields that the daemon reads, without those that are not set."""
    found = {name: _plain(getattr(one, name)) for name in ours.__struct_fields__ if name != "models"}
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
    list_data.BUNDLED.write_bytes(text())
