"""Redaction: masking of secrets and personal data before they are stored; off by default.

Invariant: a line becomes the same row with and without rules, except for the masked text.

``rules`` compiles the settings; ``patterns`` has the named sets; ``view`` is the text that patterns match,
``masks`` replaces a secret, and ``lines`` combines both; ``payloads`` and ``paths`` apply rules on keys and
paths and truncate long strings; ``redactor`` applies everything before the spool and on rows.
"""

from llmledgerd.redaction.redactor import Redactor

__all__ = ["Redactor"]
