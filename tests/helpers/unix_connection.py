"""A connection to a Unix socket whose queue of connections may be full.

Invariant: who connects waits until the queue has room. A socket with Python's timeout does not: it is
non-blocking underneath, and such a `connect` ends with EAGAIN, after which nothing could be polled for.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path


def connected(path: Path, limit_seconds: float) -> socket.socket:
    """Return a connected socket with this timeout. Raises OSError, after the time too."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The kernel's own limit, which holds for a blocking connect. It is 0, for ever, once Python's holds.
        whole, rest = divmod(limit_seconds, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(whole), int(rest * 1e6)))
        sock.connect(str(path))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 0))
        sock.settimeout(limit_seconds)
    except OSError:
        sock.close()
        raise
    return sock
