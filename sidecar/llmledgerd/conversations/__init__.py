"""Conversations: the parts of calls, and which call continues which, from the bytes alone.

Invariant: everything here is a function of one call's bytes. The row is the outer edge: what is raised here in spite
of the tests costs the row these columns, and is counted.
"""

from __future__ import annotations

from llmledgerd.conversations.answers import read_answer
from llmledgerd.conversations.identity import UNKNOWN, Identity, identity_of
from llmledgerd.conversations.parts import Answer, Part, Request
from llmledgerd.conversations.requests import read_request
from llmledgerd.conversations.tool_calls import ToolCalls, tool_calls_of
from llmledgerd.conversations.values import request_hash

__all__ = [
    "UNKNOWN",
    "Answer",
    "Identity",
    "Part",
    "Request",
    "ToolCalls",
    "identity_of",
    "read_answer",
    "read_request",
    "request_hash",
    "tool_calls_of",
]
