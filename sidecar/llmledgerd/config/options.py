"""Types of settings that components share, below the settings themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

STATEMENT_SECONDS = 600
"""How long one statement may take at all; the store ends it then."""


YES, LOGIN = "yes", "user, password"
"""What a reload changes of a setting: all of it, or the login in a URL."""


def doc(description: str, reload: str = "", *, plain: str = "", **bounds: Any) -> Meta:
    """Describe a setting.

    ``reload`` is what SIGHUP changes of it; empty if a change takes a restart. ``plain`` is its name in
    flags and in the environment, if that is not the name in the file.
    """
    return Meta(description=description, extra={"reload": reload, "plain": plain}, **bounds)


Mode = Literal["inline", "metadata_only", "offload"]


Attachments = Literal["keep", "store", "drop"]


Rate = Annotated[float, Meta(ge=0, le=1)]


Bytes = Annotated[int, Meta(ge=0)]


class PayloadRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[payload_rules]]`` of the settings. What is None matches everything, or leaves the default."""

    organization_id: str | None = None
    call_type: str | None = None
    mode: Mode | None = None
    above_bytes: Bytes | None = None
    sample_rate: Rate | None = None
    attachments: Attachments | None = None
