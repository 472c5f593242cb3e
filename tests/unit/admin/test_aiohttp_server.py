"""The daemon's process holds no certificate for a client that it does not have."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, ssl
whole = dict(vars(ssl.SSLContext))
import llmledgerd.daemon.app
contexts = [one for one in gc.get_objects() if isinstance(one, ssl.SSLContext)]
assert not any(one.get_ca_certs() for one in contexts), contexts
assert dict(vars(ssl.SSLContext)) == whole
"""


def test_no_tls_context_of_an_import_has_certificates_and_later_ones_have() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
