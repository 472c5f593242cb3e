"""What is taken for a probe is one, and what is not is left to the HTTP server."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmledgerd.admin.probes import MOST_BYTES, Answer, Probe, may_become_one, probe_of, response

KUBELET = b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:9464\r\nUser-Agent: kube-probe/1.31\r\nAccept: */*\r\nConnection: close\r\n\r\n"
PROMETHEUS = (
    b"GET /metrics HTTP/1.1\r\nHost: d:9464\r\nUser-Agent: Prometheus/3.1.0\r\n"
    b"Accept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1\r\nAccept-Encoding: gzip\r\n"
    b"Authorization: Bearer of-metrics\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n"
)


@pytest.mark.parametrize(
    ("head", "probe"),
    [
        (KUBELET, Probe("/healthz", False, "1.1", "", "*/*")),
        (
            PROMETHEUS,
            Probe(
                "/metrics",
                False,
                "1.1",
                "Bearer of-metrics",
                "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1",
            ),
        ),
        (b"GET /readyz HTTP/1.0\r\n\r\n", Probe("/readyz", False, "1.0")),
        (b"HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n", Probe("/readyz", True, "1.1")),
        (
            b"GET /healthz HTTP/1.1\r\nCONTENT-length:\t0 \r\nhOST:\r\naccept:\r\n\r\n",
            Probe("/healthz", False, "1.1"),
        ),
    ],
)
def test_probes_of_all_kinds_are_recognized(head: bytes, probe: Probe) -> None:
    assert probe_of(head) == probe


def fields(*lines: bytes) -> bytes:
    return b"\r\n".join((b"GET /healthz HTTP/1.0", *lines, b"", b""))


NO_PROBES = [
    b"",
    b"\r\n\r\n",
    b"GET /healthz",
    b"GET /healthz\r\n\r\n",
    b"\r\n" + KUBELET,
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\n\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\n\n",
    b"GET /healthz HTTP/1.1\r\r\n\r\n",
    b"GET /healthz HTTP/2.0\r\n\r\n",
    b"GET /healthz HTTP/1.2\r\n\r\n",
    b"GET /healthz http/1.1\r\n\r\n",
    b"get /healthz HTTP/1.0\r\n\r\n",
    b"GET  /healthz HTTP/1.0\r\n\r\n",
    b"GET /healthz  HTTP/1.0\r\n\r\n",
    b"GET\t/healthz HTTP/1.0\r\n\r\n",
    b"GET /healthz HTTP/1.1 \r\n\r\n",
    b"GET http://h/healthz HTTP/1.0\r\n\r\n",
    b"GET //healthz HTTP/1.0\r\n\r\n",
    b"GET /healthz/ HTTP/1.0\r\n\r\n",
    b"GET /healthz?x HTTP/1.0\r\n\r\n",
    b"GET /healthz#x HTTP/1.0\r\n\r\n",
    b"GET /%68ealthz HTTP/1.0\r\n\r\n",
    b"GET /v1/calls HTTP/1.0\r\n\r\n",
    b"GET /healthzz HTTP/1.0\r\n\r\n",
    b"GET /HEALTHZ HTTP/1.0\r\n\r\n",
    b"POST /healthz HTTP/1.0\r\n\r\n",
    b"OPTIONS /metrics HTTP/1.0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    fields(b"Content-Length: 1") + b"x",
    fields(b"Content-Length: 1"),
    fields(b"Content-Length: 00"),
    fields(b"Content-Length: +0"),
    fields(b"Content-Length:"),
    fields(b"Content-Length: 0", b"Content-Length: 0"),
    fields(b"Content-Length: 0", b"content-length: 5") + b"GET /",
    fields(b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    fields(b"Transfer-Encoding: identity"),
    fields(b"Upgrade: websocket", b"Connection: upgrade"),
    fields(b"Expect: 100-continue"),
    fields(b"Host: a", b"Host: b"),
    fields(b"Authorization: Bearer a", b"authorization: Bearer b"),
    fields(b"Host: x", b" folded"),
    fields(b"Host: x", b"\tfolded"),
    fields(b" Host: x"),
    fields(b"Host : x"),
    fields(b"Host"),
    fields(b": x"),
    fields(b"H\x00st: x"),
    fields(b"Host: x\x00"),
    fields(b"Host: x\r"),
    fields(b"Host: x\x7f"),
    fields(b"Host: \xc3\xa9"),
    fields(b"H\xc3\xa9: x"),
    fields(b"Host: x\x0by"),
    fields(*(b"x-%d: y" % number for number in range(65))),
    fields(b"x: " + b"y" * MOST_BYTES),
    KUBELET + KUBELET,
    KUBELET + b"x",
    KUBELET + b"\r\n",
]


@pytest.mark.parametrize("read", NO_PROBES)
def test_whatever_is_not_exactly_a_probe_is_none(read: bytes) -> None:
    assert probe_of(read) is None


def verdict(pieces: list[bytes]) -> tuple[bytes, Probe | None] | None:
    """Return what was read until it was decided, and the probe; None if it is not decided at the end."""
    read = b""
    for piece in pieces:
        known, read = len(read), read + piece
        if not may_become_one(read, known):
            return read, probe_of(read)
    return None


def whole_and_in_bytes(request: bytes) -> tuple[object, object]:
    return verdict([request]), verdict([request[at : at + 1] for at in range(len(request))])


@pytest.mark.parametrize("request_", [KUBELET, PROMETHEUS, b"HEAD /readyz HTTP/1.0\r\n\r\n"])
def test_a_probe_is_the_same_whole_and_byte_by_byte(request_: bytes) -> None:
    whole, cut = whole_and_in_bytes(request_)
    assert whole == cut == (request_, probe_of(request_))
    assert all(verdict([request_[:at], request_[at:]]) == whole for at in range(len(request_)))


@pytest.mark.parametrize(
    ("request_", "decided_at"),
    [
        (b"POST /v1/sql HTTP/1.1\r\n", 1),
        (b"GET /v1/calls HTTP/1.1\r\n", 6),
        (b"GET /healthz?x", 13),
        (b"GET /healthz\r\n", 13),
        (b"GET /healthz HTTP/1.1\n", 22),
        (b"GET /healthz HTTP/1.1\r\nHost: x\n", 31),
        (fields(b"Host: x", b"no field"), 42),
        (fields(*(b"x-%d: y" % number for number in range(100))), 598),
        (fields(b"x: " + b"y" * MOST_BYTES), MOST_BYTES),
    ],
)
def test_what_cannot_become_a_probe_waits_for_no_further_byte(request_: bytes, decided_at: int) -> None:
    pieces = [request_[at : at + 1] for at in range(len(request_))]
    assert verdict(pieces) == (request_[:decided_at], None)


class Watched(bytes):
    """Bytes that count how many of them are looked at."""

    looked_at = 0

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        Watched.looked_at += len(found)
        return found


def test_a_byte_that_comes_alone_is_looked_at_with_few_of_those_before_it() -> None:
    filled = fields(b"x: " + b"y" * MOST_BYTES)
    for known in range(MOST_BYTES - 1):
        Watched.looked_at = 0
        assert may_become_one(Watched(filled[: known + 1]), known)
        assert Watched.looked_at < 150


# What aiohttp makes of the same bytes.


def parsed(read: bytes) -> tuple[RawRequestMessage, bool] | None:
    """Return the only request, and whether it is over; None where aiohttp sees none, several, or an error."""
    loop = asyncio.new_event_loop()
    try:
        messages, upgraded, tail = HttpRequestParser(BaseProtocol(loop), loop, 1 << 16).feed_data(read)
    except HttpProcessingError:
        return None
    finally:
        loop.close()
    if len(messages) != 1 or upgraded or tail:
        return None
    return messages[0][0], messages[0][1] is EMPTY_PAYLOAD


LINES = st.sampled_from(
    [b"GET /healthz HTTP/1.1", b"HEAD /metrics HTTP/1.0", b"GET /readyz HTTP/1.1", b"GET /v1 HTTP/1.1"]
)
NAMES = st.sampled_from(
    b"Host Accept Authorization Content-Length Transfer-Encoding Connection Upgrade Expect Content-Encoding "
    b"Cookie host TE Trailer X!#$%&'*+.^_`|~-9 ".split(b" ")
)
VALUES = st.one_of(
    st.sampled_from([b"0", b"5", b"chunked", b"close", b"upgrade", b"websocket", b"Bearer x", b" ", b"*/*"]),
    st.binary(max_size=12),
)
FIELDS = st.tuples(NAMES, st.sampled_from([b": ", b":", b" :", b":\t"]), VALUES).map(b"".join)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n "])
HEADS = st.builds(
    lambda line, found, last: line + b"\r\n" + b"".join(f + e for f, e in found) + last,
    LINES,
    st.lists(st.tuples(FIELDS, ENDS), max_size=6),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"", b"\r\n\r\n", b"\r\nx"]),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a head of which some bytes are replaced."""
    head = bytearray(draw(HEADS))
    for _ in range(draw(st.integers(0, 2))):
        head[draw(st.integers(0, len(head) - 1))] = draw(st.integers(0, 255))
    return bytes(head)


@settings(max_examples=300, deadline=None)
@given(st.one_of(damaged(), HEADS, st.binary(max_size=60)))
@example(KUBELET)
@example(PROMETHEUS)
def test_any_bytes_that_are_a_probe_are_the_same_request_to_aiohttp(read: bytes) -> None:
    probe = probe_of(read)
    if probe is None:
        return
    found = parsed(read)
    assert found is not None
    message, is_over = found
    assert is_over
    assert not message.upgrade
    assert (message.method == "HEAD", message.path) == (probe.is_head, probe.path)
    assert "{}.{}".format(*message.version) == probe.version
    assert message.headers.get("Authorization", "") == probe.authorization
    assert message.headers.get("Accept", "") == probe.accept


@settings(max_examples=100, deadline=None)
@given(st.one_of(damaged(), HEADS), st.lists(st.integers(0, 200), max_size=5))
def test_how_bytes_are_cut_changes_nothing_but_how_much_was_read(read: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(read), *(cut for cut in cuts if cut < len(read))})
    found = verdict([read[a:b] for a, b in itertools.pairwise(places)])
    whole = verdict([read])
    assert (found is None) == (whole is None)
    if found is not None and whole is not None and found[0] == read:
        assert found == whole


# Answers.


def test_an_answer_says_how_long_it_is_and_that_nothing_follows() -> None:
    probe = Probe("/healthz", False, "1.1")
    assert response(probe, Answer(200, b"ok\n"), 1_700_000_000.9) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"
        b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nConnection: close\r\n\r\nok\n"
    )


def test_an_answer_to_head_has_the_same_fields_and_no_body() -> None:
    answer = Answer(401, b"missing\n", wants_token=True)
    whole = response(Probe("/metrics", False, "1.0"), answer, 0)
    assert response(Probe("/metrics", True, "1.0"), answer, 0) + b"missing\n" == whole
    assert whole.startswith(b"HTTP/1.0 401 Unauthorized\r\n")
    assert b"\r\nWWW-Authenticate: Bearer\r\n" in whole
