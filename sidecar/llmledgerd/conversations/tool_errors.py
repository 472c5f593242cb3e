"""Whether a tool's result says that the call failed. Pure.

Invariant: only what stands at the beginning of a text, or in the members that say it of a JSON object, is read: a
result that speaks of errors is none.
"""

from __future__ import annotations

import re
from typing import Any, Final

from llmledgerd.conversations.values import REFUSED, decoded

NO_ERROR: Final = 0
API_ERROR: Final = 1
"""The API's own field says it: Anthropic's ``is_error``, Bedrock's ``status``."""
TEXT_ERROR: Final = 2
"""The result's text says it."""
BY_PROVIDER: Final = 4
"""Is added to these where the provider ran the tool itself."""

_LONGEST_OBJECT: Final = 256 << 10
"""Characters of a text above which it is not read as JSON."""

_START: Final = 300

_FAILED: Final = re.compile(
    r"[\s*_\u274c\u2716\u2717]*+(?:"
    r"<(?:tool_use_)?error\b"
    r"|\[error\]"
    r"|(?:mcp )?error\b[*_]*\s*(?::|-|\u2014|\(|\[|\d|[a-z]{1,4}\d+:"
    r"|executing|calling|running|invoking|while|reading|writing|in tool|code)"
    r"|error\W*(?:\Z|\n)"
    r"|(?:[\w.]+(?:error|exception)|[\w.]+\.(?:errors|exceptions)\.\w+|exception|fatal|panic)\s*:"
    r"|(?:uncaught|unhandled) (?:\w+ )?(?:error|exception|rejection)\b"
    r"|traceback \(most recent call last\)"
    r"|http(?:/\d(?:\.\d)?)?(?: error| status(?: code)?)?\s*:?\s*[45]\d\d(?=\s*(?:\Z|[:(\u2014-])|\s+"
    r"(?:bad|unauthorized|forbidden|not|method|request|conflict|gone|unprocessable|too|internal|service|gateway)\b)"
    r"|[45]\d\d (?:(?:client|server) error|bad request|unauthorized|forbidden|not found|method not allowed"
    r"|unprocessable (?:entity|content)|too many requests|internal server error|bad gateway|service unavailable"
    r"|gateway time-?out)\b"
    r"|invalid (?:tool )?(?:argument|parameter|input|request|json|path)s?\b[^\n.:]{0,60}:(?!\s*\d)"
    r"|(?:unknown|no such) (?:tool|function|command)\b|tool \S+ (?:not found|does not exist)"
    r"|(?:(?:the )?(?:api )?(?:tool|tool call|command|function|request|execution|process|call) (?:\S+ )?)?"
    r"(?:failed(?:\s*:| with| to)|exited with (?:exit )?(?:code|status)[: ]*[1-9-]|timed out\b)"
    r"|(?:process )?exit (?:code|status)[: ]*[1-9-]"
    r"|(?:bash|sh|zsh): .*(?:not found|no such file|permission denied)"
    r"|(?:permission|access) denied\W*\Z|operation not permitted\W*\Z"
    r"|e(?:noent|acces|perm|exist|notdir|isdir|notempty|mfile|nospc|busy|pipe|connrefused|connreset|timedout|notfound"
    r"|ai_again|addrinuse)\s*:"  # errno, as Node's errors begin
    r"|npm err(?:or)?!|make(?:\[\d+\])?: \*\*\*|curl: \(\d+\)|segmentation fault\b|thread '[^'\n]*' panicked\b"
    r")",
    re.IGNORECASE,
)
_PROGRAM: Final = re.compile(r"\s*[A-Za-z][\w-]{0,20}: ")
_REASONS: Final = (
    "no such file or directory",
    "permission denied",
    "is a directory",
    "not a directory",
    "operation not permitted",
)
"""How the first line ends that a program of a shell begins with its name (``strerror``)."""

_EMPTY: Final[tuple[Any, ...]] = (None, "", False, 0, [], {})
_FLAGS: Final = ("isError", "is_error")
_SUCCESSES: Final = ("success", "ok", "succeeded")
_EXITS: Final = ("exit_code", "exitCode", "returncode", "return_code")
_ERRORS: Final = ("error", "error_message", "errorMessage")
_STATUSES: Final = ("status", "statusCode", "status_code")
_FAILURES: Final = frozenset({"error", "failed", "failure", "errored"})
_FINE: Final = frozenset({"ok", "success", "succeeded", "completed"})
_INSIDE: Final = ("text", "result", "output", "content")
"""Members that hold the result where the others say nothing of it: Gemini's responses are objects."""
_LEAST_STATUS, _LARGEST_STATUS = 100, 599
_LEAST_FAILED: Final = 400
"""HTTP's first status of errors."""


def reads_as_error(value: Any, depth: int = 3) -> bool:
    """Return whether the content of a result says that the call failed."""
    if isinstance(value, list):
        value = next((one for one in value if isinstance(one, str | dict)), None)
    if isinstance(value, dict):
        said = _says(value)
        inside = next((value[name] for name in _INSIDE if isinstance(value.get(name), str | dict)), None)
        return reads_as_error(inside, depth - 1) if said is None and inside and depth else bool(said)
    if not isinstance(value, str):
        return False
    start = value[:_START]
    if start.lstrip()[:1] != "{" or len(value) > _LONGEST_OBJECT:
        return _FAILED.match(start) is not None or _is_of_program(start)
    try:
        found = decoded(value.encode())
    except (*REFUSED, UnicodeEncodeError):
        return False
    return isinstance(found, dict) and bool(depth) and reads_as_error(found, depth - 1)


def _is_of_program(start: str) -> bool:
    line = start.lstrip().partition("\n")[0].rstrip().lower()
    return line.endswith(_REASONS) and _PROGRAM.match(start) is not None


def _says(said: dict[str, Any]) -> bool | None:
    """Return what an object's own members say of the call; None where they say nothing."""
    flags = [said[name] for name in _FLAGS if isinstance(said.get(name), bool)]
    flags += [not said[name] for name in _SUCCESSES if isinstance(said.get(name), bool)]
    inner = said.get("metadata")
    exits = [*map(said.get, _EXITS), *(map(inner.get, _EXITS) if isinstance(inner, dict) else ())]
    flags += [code != 0 for code in exits if _is_number(code)]
    for status in map(said.get, _STATUSES):
        if isinstance(status, str) and (status.lower() in _FAILURES or status.lower() in _FINE):
            flags.append(status.lower() in _FAILURES)
        elif isinstance(status, int) and _LEAST_STATUS <= status <= _LARGEST_STATUS:
            flags.append(status >= _LEAST_FAILED)
    if flags:
        return any(flags)
    is_error = said.get("type") == "error" or any(said.get(name) not in _EMPTY for name in _ERRORS)
    return True if is_error else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
