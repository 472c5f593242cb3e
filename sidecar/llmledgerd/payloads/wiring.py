"""Construction of the payload components from the settings.

Invariant: ``obstore`` is imported only if object storage is configured. Settings that require object storage
and do not configure it, or configure it wrongly, prevent the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.payloads.erasing import ErasableObjects
from llmledgerd.payloads.policy import Decision, Policy
from llmledgerd.payloads.treatment import Treatment

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects


def treatment(config: Config) -> Treatment:
    """Return the treatment of rows. Raises ConfigError if a rule requires object storage and none is configured."""
    default = Decision(
        mode=config.payloads,
        above_bytes=config.payload_above_bytes,
        sample_rate=config.payload_sample_rate,
        attachments=config.attachments,
    )
    policy = Policy(default, config.payload_rules)
    if not config.payload_store and any(decision.needs_objects for decision in policy.decisions):
        raise ConfigError("payload_store: required by `offload` and by `attachments = store`")
    return Treatment(
        policy,
        base=config.payload_store.rstrip("/"),
        attachments_above_bytes=config.attachments_above_bytes,
    )


def objects(config: Config) -> Objects | None:
    """Return the object storage; None if none is configured. Raises ConfigError."""
    if not config.payload_store:
        return None
    try:
        from llmledgerd.payloads.objects import Objects
    except ImportError:
        raise ConfigError("payload_store: object storage needs the extra `offload`") from None
    return Objects(
        config.payload_store,
        config.payload_store_file,
        timeout_seconds=config.payload_store_timeout_seconds,
        sync=config.fsync,
    )


def erasable(found: Objects | None) -> ErasableObjects | None:
    """Return the deletion of erased calls' objects; None without object storage."""
    return None if found is None else ErasableObjects(found)
