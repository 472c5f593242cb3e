"""OTLP in: spans and log records of OpenTelemetry become lines of the daemon's own wire.

Invariants:
- A request that is answered with 200 is in the spool: its lines passed redaction and group commit like any line.
- A span is one line with one id, whenever and however often it arrives; the store keeps the first of that id.
- Of nested spans that tell of one call, one is a row (``nesting``).
- Nothing that a sender writes ends the daemon; one span that cannot be read refuses itself alone.

The package is imported where the setting ``otlp`` is set and nowhere else, because it needs the extra
``llmledgerd[otlp]``. ``signals`` holds neutral spans and log records, ``protobuf`` and ``json_form`` decode them,
``conventions`` reads calls from them, ``lines`` writes the wire's records, ``receiver`` has the sockets of HTTP and
``http_endpoints`` answers there.
"""
