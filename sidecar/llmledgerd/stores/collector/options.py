"""Settings of the collector: the table ``[collector]`` of the settings file."""

from __future__ import annotations

from typing import Annotated, Literal

from llmledgerd.config.options import doc
from llmledgerd.config.store_options import StoreOptions


class CollectorOptions(StoreOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where spans are sent, and whether they have the messages."""

    url: Annotated[
        str,
        doc(
            "OTLP/HTTP endpoint that rows are forwarded to as spans: `http://host:4318`; `/v1/traces` is appended "
            "unless the URL ends with it. Required if `stores` includes `collector`; see docs/otlp.md."
        ),
    ] = ""
    password_file: Annotated[
        str,
        doc(
            "Path of a file with the password of the user in `collector.url` (HTTP Basic), read for each request. "
            "Empty: the password in the URL."
        ),
    ] = ""
    headers_file: Annotated[
        str,
        doc(
            "Path of a file with headers of each request, such as an API key: one `Name: value` in each line, read "
            "for each request. Empty: none."
        ),
    ] = ""
    content: Annotated[
        Literal["metadata", "full"],
        doc("What spans have: `metadata` (no messages), or `full` (prompts and answers as attributes, too)."),
    ] = "metadata"

    def private_paths(self) -> dict[str, str]:
        return {"password_file": self.password_file, "headers_file": self.headers_file}
