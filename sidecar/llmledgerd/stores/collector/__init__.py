"""A collector of OpenTelemetry as a store: rows leave as ``gen_ai`` spans over OTLP/HTTP with protobuf.

Invariants:
- A row is forwarded at least once. Its trace id and span id are functions of the row, so that a repeat is the same span.
- Nothing circles: rows that were made of OTLP are not forwarded, and the receiver (``llmledgerd.otlp``) makes no row of
  a span with the scope ``twice_told.FORWARDED``.
- Nothing is read back: a collector answers no query, keeps no losses, and erases nothing.
"""
