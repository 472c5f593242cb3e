"""Redaction: masking of secrets and personal data before they are stored; off by default.

Invariant: with rules or without, every line becomes the same row, in all but what was hidden.

``rules`` reads the settings; ``patterns`` are the named sets; ``view`` is what patterns see, ``masks``
what stands in a secret's place, ``lines`` the two together; ``payloads`` and ``paths`` are rules on
keys and places, and the cutting of long strings; ``redactor`` applies all of it where it belongs.
"""

from llmledgerd.redaction.redactor import Redactor

__all__ = ["Redactor"]
