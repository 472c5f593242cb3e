"""Engine errors are one line: what is wrong, the code, and what to do."""

from __future__ import annotations

import doctest

import pytest

from llmledgerd.stores.clickhouse import engine_text
from llmledgerd.stores.clickhouse.engine_text import MOST_CHARACTERS, plain

TRACE = """Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE), Stack trace (when copying this message, always include the lines below):

0. DB::Exception::Exception(DB::Exception::MessageMasked&&, int, bool) @ 0x000000000f3
1. ? @ 0x0000000012
 (version 25.5.2.1)"""


def test_the_examples_hold() -> None:
    assert doctest.testmod(engine_text).failed == 0


def test_frames_of_the_engine_are_not_shown() -> None:
    assert plain(TRACE) == (
        "Cannot reserve 1.00 MiB, not enough space (code 243, NOT_ENOUGH_SPACE); free space on the store's disk"
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "HTTPDriver for http://h:8123 received ClickHouse error code 497\n Code: 497. DB::Exception: me: Not enough"
            " privileges. To execute this query, it's necessary to have the grant SELECT(id) ON d.llm_traces."
            " (ACCESS_DENIED) (version 24.8.1.1 (official build))",
            "me: Not enough privileges. To execute this query, it's necessary to have the grant SELECT(id) ON"
            " d.llm_traces (code 497, ACCESS_DENIED); grant it to the user of the URL (docs/sql.md)",
        ),
        (
            "Code: 62. DB::Exception: Syntax error: failed at position 7 (1): 1. Expected one of: token, Dot: In scope"
            " SELECT formatQuerySingleLine('SELEC 1') AS rendered. (SYNTAX_ERROR)",
            "Syntax error: failed at position 7 (1): 1 (code 62, SYNTAX_ERROR)",
        ),
        (
            "Code: 60. DB::Exception: Received from a:9000. DB::Exception: Table d.x does not exist. (UNKNOWN_TABLE)",
            "Table d.x does not exist (code 60, UNKNOWN_TABLE); run `llmledgerd migrate`",
        ),
        (
            "HTTP driver received HTTP status 502\nBad gateway",
            "HTTP driver received HTTP status 502 Bad gateway",
        ),
    ],
)
def test_a_message_says_what_is_wrong_and_nothing_of_our_statement(message: str, said: str) -> None:
    assert plain(message) == said


def test_a_page_of_a_proxy_is_cut() -> None:
    assert len(plain("<html>" + "x" * 10_000)) <= MOST_CHARACTERS + 1
