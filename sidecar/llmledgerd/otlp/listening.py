"""Who reaches an OTLP address. Pure."""

from __future__ import annotations

from llmledgerd.admin.address import host_and_port, is_loopback
from llmledgerd.config.otlp_addresses import UNIX, grpc_address


def is_local(address: str) -> bool:
    """Return whether only this host reaches an address. Raises ConfigError for an invalid one."""
    return address.startswith(UNIX) or is_loopback(host_and_port(grpc_address(address) or address)[0])
