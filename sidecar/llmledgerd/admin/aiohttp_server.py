"""aiohttp's server, imported without the certificates of its client.

Invariant: a process that imports aiohttp here first holds no certificates for it. aiohttp makes two TLS
contexts for its client at import, each with all certificates of the host: 3 MiB and 30 ms. The daemon is a
server only; in its process a client of aiohttp without a context of its own would trust no server.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

READ_CERTIFICATES = ("load_default_certs", "set_default_verify_paths")
"""Methods of a TLS context that read the host's certificates."""


@contextlib.contextmanager
def _without_certificates() -> Iterator[None]:
    """Leave new TLS contexts without the host's certificates for the length of a block."""
    context: Any = ssl.SSLContext
    own = {name: vars(context)[name] for name in READ_CERTIFICATES if name in vars(context)}
    for name in READ_CERTIFICATES:
        setattr(context, name, lambda *_: None)
    try:
        yield
    finally:
        for name in READ_CERTIFICATES:
            delattr(context, name)
        for name, method in own.items():
            setattr(context, name, method)


with _without_certificates():
    from aiohttp import web
    from aiohttp.typedefs import Handler

__all__ = ["Handler", "web"]
