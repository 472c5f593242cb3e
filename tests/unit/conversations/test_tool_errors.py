"""A result is read as an error only where it says that it is one."""

from __future__ import annotations

from typing import Any

import pytest

from llmledgerd.conversations.tool_errors import reads_as_error


@pytest.mark.parametrize(
    "value",
    [
        "Error: no such file",
        "  error executing tool search: timed out",
        "[ERROR] cannot connect",
        "Error (404): not found",
        "Traceback (most recent call last):\n  File",
        "requests.exceptions.ConnectionError: refused",
        "<tool_use_error>File has not been read yet</tool_use_error>",
        "fatal: not a git repository",
        "Failed to fetch the page",
        "Tool search failed: bad query",
        "Command exited with code 2",
        "Exit code 127\nfoo: not found",
        "bash: foo: command not found",
        "HTTP 500: Internal Server Error",
        "HTTP Error 404: Not Found",
        "HTTP/1.1 403 Forbidden",
        "Invalid argument: limit must be positive",
        "Invalid parameters for tool search: limit is required",
        "ENOENT: no such file or directory, open 'a'",
        "MCP error -32602: Invalid arguments",
        "**Error**: bad",
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find module",
        "error TS2304: Cannot find name 'x'.",
        "Unhandled exception: bad",
        "psycopg2.errors.UndefinedTable: relation",
        "404 Client Error: Not Found for url",
        "API request failed with status code 429",
        "No such tool available: x",
        "Permission denied",
        "cat: a.txt: No such file or directory\n",
        "make: *** [all] Error 2",
        "thread 'main' panicked at src/main.rs:2:5",
        '{"type": "error", "message": "x"}',
        '{"error_code": 5, "error_message": "x"}',
        '{"error": "nothing here"}',
        '{"error": {"message": "x"}, "data": null}',
        '{"isError": true, "content": []}',
        '{"success": false}',
        '{"ok": false, "result": "fine"}',
        '{"status": "FAILED"}',
        '{"status": 404, "body": ""}',
        '{"output": "x", "metadata": {"exit_code": 1}}',
        '{"output": "Error: bad"}',
        {"error": "no such city"},
        {"result": "Error: no such city"},
        {"result": {"error": "no such city"}},
        [{"type": "text", "text": "Error: bad"}, {"type": "image"}],
    ],
)
def test_what_says_that_it_failed_is_an_error(value: Any) -> None:
    assert reads_as_error(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        None,
        7,
        [],
        "Errors: 0",
        "Permission denied pages were removed.",
        "app.log: request: permission denied",
        "404 pages read.",
        "EOF: reached",
        "Timed outings",
        "make: nothing to be done",
        "cat: the animal; a cat is no directory at all",
        "Error handling is described in errors.md",
        "errors.py\nfailures.py",
        "HTTP/1.1 200 OK",
        "HTTP 404 pages are counted below",
        "Invalid inputs: 0",
        "Invalid requests are refused. The list: none",
        "The request failed in 2019, says the article",
        "Everything passed; no errors were found.",
        "def fail():\n    raise ValueError",
        '{"error": null, "rows": []}',
        '{"error": "", "errors": []}',
        '{"rows": [{"error": "in a row"}], "status": "ok"}',
        '{"exit_code": 0, "stderr": "Error: a warning"}',
        '{"output": "Error: in a log", "metadata": {"exit_code": 0}}',
        '{"success": true, "output": "Error: in a log"}',
        '{"status": "error_free"}',
        '{"broken',
        {"result": "12 files"},
        {"result": {"result": {"result": {"result": {"error": "too deep"}}}}},
        [{"type": "text", "text": "fine"}, {"type": "text", "text": "Error: of another"}],
    ],
)
def test_what_only_speaks_of_errors_is_none(value: Any) -> None:
    assert not reads_as_error(value)
