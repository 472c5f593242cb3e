"""Our own client, as ``check.py`` runs it."""

from __future__ import annotations

import os

from llmledger import TraceClient


def main() -> None:
    """Hand over what the environment asks for, and close."""
    client = TraceClient()
    body = b'"' + b"x" * int(os.environ["CONFORMANCE_BYTES"]) + b'"'
    for number in range(1, int(os.environ["CONFORMANCE_RECORDS"]) + 1):
        client.record(provider_trace_id=f"conformance-{number}", model="m", request=body)
    client.close(timeout=20.0)


if __name__ == "__main__":
    main()
