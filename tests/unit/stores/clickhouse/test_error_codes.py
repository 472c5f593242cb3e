"""Who acts next on an error of the store, by code, by status, by cause; no store is needed."""

from __future__ import annotations

import pytest

from llmledgerd.errors import BatchRejected, ConfigError, OutcomeUnknown, StoreBusy
from llmledgerd.stores.clickhouse.error_codes import (
    IMPOSSIBLE,
    OF_STORE,
    REFUSED,
    UNCERTAIN,
    fault_of_statement,
    meaning,
    settled,
)
from llmledgerd.stores.clickhouse.url import each_address, parse_url


@pytest.mark.parametrize("code", IMPOSSIBLE)
def test_an_error_of_the_rows_rejects_the_batch(code: int) -> None:
    error = meaning(code, "Code: no luck")

    assert isinstance(error, BatchRejected)
    assert error.code == code


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_before_the_write_is_busy_and_leaves_nothing_unknown(code: int) -> None:
    error = meaning(code, "")

    assert type(error) is StoreBusy
    assert error.kind == REFUSED[code][1]


@pytest.mark.parametrize("code", UNCERTAIN)
def test_an_error_during_the_write_has_to_be_asked_about(code: int) -> None:
    error = meaning(code, "")

    assert isinstance(error, OutcomeUnknown)
    assert error.kind == UNCERTAIN[code][1]


def test_a_code_that_nobody_knows_is_neither_a_rejection_nor_a_promise() -> None:
    error = meaning(12345, "")

    assert isinstance(error, OutcomeUnknown)
    assert error.kind == "other"


@pytest.mark.parametrize(
    ("code", "said", "fault"),
    [
        (241, "Code: 241. DB::Exception: Query memory limit exceeded: would use 768.13 MiB", "more memory"),
        (241, "Code: 241. DB::Exception: Memory limit (for query) exceeded: would use 1 GiB", "more memory"),
        (159, "Timeout exceeded: elapsed 60 s", "longer"),
        (160, "Estimated query execution time is too long", "longer"),
        (153, "Division by zero", "Division by zero"),
        (6, "Cannot parse string", "Cannot parse string"),
        (47, "Unknown identifier", "Unknown identifier"),
        (497, "Not enough privileges", "Not enough privileges"),
        (12345, "something new", "something new"),
    ],
)
def test_what_a_statement_does_wrong_is_its_own_fault(code: int, said: str, fault: str) -> None:
    assert fault in fault_of_statement(settled(meaning(code, said)))
    assert fault


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (241, "Memory limit (total) exceeded: would use 20 GiB"),
        (241, "User memory limit exceeded"),
        (173, "Cannot allocate memory"),
        (209, "Socket timeout"),
        (202, "Too many simultaneous queries"),
        (516, "Authentication failed"),
        (394, "Query was cancelled"),
        (None, "HTTP driver received HTTP status 502"),
        *((code, "") for code in OF_STORE),
    ],
)
def test_trouble_of_the_store_is_no_fault_of_a_statement(code: int | None, said: str) -> None:
    assert fault_of_statement(settled(meaning(code, said))) == ""


def test_no_code_is_in_two_tables() -> None:
    assert len({*REFUSED, *UNCERTAIN, *IMPOSSIBLE}) == len(REFUSED) + len(UNCERTAIN) + len(IMPOSSIBLE)


@pytest.mark.parametrize(
    ("status", "expected", "kind"),
    [
        (401, StoreBusy, "authentication"),
        (403, StoreBusy, "authentication"),
        (404, StoreBusy, "proxy"),
        (429, StoreBusy, "proxy"),
        (408, OutcomeUnknown, "timeout"),
        (499, OutcomeUnknown, "timeout"),
        (500, OutcomeUnknown, "network"),
        (502, OutcomeUnknown, "network"),
        (503, OutcomeUnknown, "network"),
        (504, OutcomeUnknown, "timeout"),
    ],
)
def test_a_status_without_a_code_comes_from_something_in_between(
    status: int, expected: type[StoreBusy], kind: str
) -> None:
    error = meaning(None, f"HTTP driver received HTTP status {status}")

    assert type(error) is expected
    assert isinstance(error, StoreBusy)
    assert error.kind == kind


def test_a_body_too_large_for_a_proxy_is_bisected() -> None:
    assert isinstance(meaning(None, "HTTP driver received HTTP status 413"), BatchRejected)


def test_a_server_url_is_taken_apart() -> None:
    target = parse_url("https://a%40b:p%2Fw@[::1]:9440/my%20db?ca_cert=/ca.pem&insert_quorum=2")

    assert (target.scheme, target.host, target.port) == ("https", "::1", 9440)
    assert (target.user, target.password, target.database) == ("a@b", "p/w", "my db")
    assert target.options == {"ca_cert": "/ca.pem"}
    assert target.settings == {"insert_quorum": "2"}


@pytest.mark.parametrize(("url", "port"), [("http://h", 8123), ("https://h/", 8443), ("http://h:1/", 1)])
def test_a_port_that_is_not_named_is_the_scheme_s_own(url: str, port: int) -> None:
    assert parse_url(url).port == port
    assert parse_url(url).database is None


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgres://h/db", "postgres"),
        ("/var/lib/clickhouse", "use chdb, http or https"),
        ("http:///db", "host"),
        ("http://h:port/", "clickhouse.url"),
        ("chdb://relative/path", "absolute path"),
        ("chdb:///", "absolute path"),
    ],
)
def test_a_url_that_names_no_store_is_refused_by_name(url: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_url(url)


def test_a_url_with_several_hosts_is_several_urls_that_share_the_rest() -> None:
    assert each_address("https://me:a%2Cb@one:8443,two,[::3]:1/db?ca_cert=/ca.pem") == [
        "https://me:a%2Cb@one:8443/db?ca_cert=/ca.pem",
        "https://me:a%2Cb@two/db?ca_cert=/ca.pem",
        "https://me:a%2Cb@[::3]:1/db?ca_cert=/ca.pem",
    ]
    assert each_address("chdb:///var/lib/a,b") == ["chdb:///var/lib/a,b"]


def test_a_refused_url_does_not_tell_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url("ftp://me:secret@h/")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("code", [32, 33])
@pytest.mark.parametrize(
    "said",
    [
        "Code: {code}. DB::Exception: Received from ch-2:9000. DB::Exception: Attempt to read after eof.",
        "Attempt to read after eof: while receiving packet from ch-2:9000",
        "Cannot read all data. Bytes read: 3. Bytes expected: 4.: While executing Remote",
        "Cannot read from socket (peer: 10.0.0.1:9000, local: 10.0.0.2:1234)",
    ],
)
def test_a_shard_whose_connection_ends_is_not_the_row_s_fault(code: int, said: str) -> None:
    error = meaning(code, said)

    assert isinstance(error, OutcomeUnknown)
    assert error.kind == "network"


@pytest.mark.parametrize(
    ("code", "kind", "who"),
    [
        (341, "replicas", "bring replicas back"),
        (289, "replicas", "bring replicas back"),
        (692, "mutations", "system.mutations"),
        (733, "restarting", "until the table is back"),
        (344, "settings", "settings profile"),
        (62, "version", "upgrade"),
        (36, "settings", "settings profile"),
        (115, "settings", "settings profile"),
        (452, "settings", "settings profile"),
        (12345, "other", "look the error up"),
    ],
)
def test_an_error_that_lasts_says_who_acts(code: int, kind: str, who: str) -> None:
    error = meaning(code, f"Code: {code}. DB::Exception: of some kind")

    assert isinstance(error, StoreBusy)
    assert error.kind == kind
    assert who in str(error)
    assert who in str(settled(error))


@pytest.mark.parametrize("said", ["Setting limit is readonly", "Setting limit is unknown or readonly"])
def test_the_driver_s_refusal_to_send_a_setting_is_no_trouble_of_the_network(said: str) -> None:
    error = meaning(None, said)

    assert type(error) is StoreBusy
    assert error.kind == "settings"
