"""A pooler in transaction mode in front of a PostgreSQL: each transaction may meet another server process."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.postgres import USER, PostgresServer
from tests.helpers.waiting import until

SERVER_PROCESSES = 3
"""Connections of the pooler to the server."""

CONFIG = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
server_round_robin = 1
ignore_startup_parameters = extra_float_digits
"""


@contextlib.contextmanager
def running_pgbouncer(server: PostgresServer, url: str) -> Iterator[str]:
    """Return the URL of the same database by way of the pooler; skip where none is installed."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or not shutil.which("setpriv"):
        pytest.skip("there is no pgbouncer: apt-get install pgbouncer")
    with tempfile.TemporaryDirectory(prefix="llmledger-bouncer-") as folder, socket.socket() as free:
        Path(folder).chmod(0o755)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        config, log = Path(folder, "ini"), Path(folder, "log")
        config.write_text(CONFIG.format(server=server.port, port=port, size=SERVER_PROCESSES))
        free.close()
        user = ["--reuid", USER, "--regid", USER, "--clear-groups"] if os.geteuid() == 0 else []
        command = ["setpriv", "--pdeathsig", "KILL", *user, program, str(config)]
        with log.open("ab") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            until(lambda: _is_open(port), what="pgbouncer to listen")
            yield url.replace(f":{server.port}/", f":{port}/")
        finally:
            process.kill()
            process.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
