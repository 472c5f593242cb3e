"""Web page of ``llmledger ui``.

Invariants:
- All state is in the URL, so that every control is a link or a form, Back works, and links can be shared.
- Its only data sources are LLMTraceReader and the daemon's status, with aggregates or bounded pages;
  payloads are fetched for one call at a time.
- Recorded data is untrusted: templates escape it, the browser's sanitizer runs after them, and the
  content security policy blocks requests to other hosts.

``authentication`` checks the token; ``view`` parses and builds URLs; ``queries`` runs the queries; ``figures``,
``charts`` and ``formatting`` are pure; only ``pages`` and ``shell`` use NiceGUI, and only ``serving``
uses sockets.
"""
