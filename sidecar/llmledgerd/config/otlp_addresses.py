"""Addresses of the setting ``otlp``: HTTP on a Unix socket or a port, gRPC on a port. Pure."""

from __future__ import annotations

from typing import Final

UNIX: Final = "unix:"
GRPC: Final = "grpc:"
GRPC_PORT: Final = ":4317"
"""The port that OTLP reserves for gRPC; 4318 is that of HTTP (OTLP specification 1.x, "Default Port")."""


def grpc_address(address: str) -> str:
    """Return ``host:port`` of an address that is for gRPC, by its prefix or its port; empty for any other one."""
    if address.startswith(GRPC):
        return address.removeprefix(GRPC)
    return address if address.endswith(GRPC_PORT) and not address.startswith(UNIX) else ""
