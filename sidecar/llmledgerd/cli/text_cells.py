"""Others' words as text of one line without effect on a terminal, and answers as JSON. Pure."""

from __future__ import annotations

import re

import msgspec

from llmledgerd.printable import clean, clean_json

_BREAKS = re.compile(r"[\n\t\u2028\u2029]")
"""In a cell they could look like another line of the table."""

_encode = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode


def cell(text: str) -> str:
    """Return a text as one line that does nothing on a terminal."""
    return clean(_BREAKS.sub(" ", text))


def json_line(answer: object) -> str:
    """Return an answer as one line of JSON. Numbers are numbers; money has all of its digits."""
    return clean_json(_encode(answer).decode())


def json_text(value: object) -> str:
    """Return a value of SQL for a cell: text without quotes, null as a dash."""
    text = "-" if value is None else json_line(value)
    return text.strip('"') if not isinstance(value, list | dict) else text
