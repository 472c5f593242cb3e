"""Whatever a sender writes is read in time that grows with its length, and no faster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import msgspec
import pytest

from llmledger import payload
from llmledger.instrumentation import bodies, endings, eventstream, recognize
from llmledger.protocol import Record
from llmledgerd import conversations, json_text
from llmledgerd.config.settings import Config, OwnPattern
from llmledgerd.errors import Rejected
from llmledgerd.ingest import handshake
from llmledgerd.ingest.framing import Framer
from llmledgerd.payloads import attachments
from llmledgerd.query import conversation
from llmledgerd.records import parsing
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.timestamps import created_at_us
from llmledgerd.redaction import Redactor
from llmledgerd.redaction.view import view
from llmledgerd.usage import decode, request, url_rules
from llmledgerd.usage.exchange import read_unguarded
from llmledgerd.usage.exchange_facts import Exchange
from tests.helpers.growth import grows_linearly

RECEIVED_US = 1_790_000_000_000_000

NEVER_ENDING = rb"\"x\"x"
ESCAPES = rb"\u00e9\ud83d\ude00"

TEXTS: dict[str, Callable[[int], bytes]] = {
    "a string that never ends": lambda n: b'{"a":{"b":"' + b"x" * n,
    "escapes in a string that never ends": lambda n: b'{"a":{"b":"' + NEVER_ENDING * (n // 6),
    "quotes that are escaped, cut after one": lambda n: b'{"a":"' + b'\\"' * (n // 2) + b"\\",
    "backslashes": lambda n: b"\\" * n,
    "backslashes in a string": lambda n: b'{"a":"' + b"\\\\" * (n // 2) + b'","b":"\\ud800"}',
    "backslashes before an escape": lambda n: b'{"a":"\\t' + b"\\\\" * (n // 2) + b'","b":"\\ud800"}',
    "open brackets": lambda n: b"[" * n,
    "open braces": lambda n: b'{"a":' * (n // 5),
    "closing brackets": lambda n: b"{" + b"]" * n,
    "quotes": lambda n: b'"' * n,
    "colons": lambda n: b"{" + b":" * n,
    "commas": lambda n: b"[" + b"," * n,
    "white space": lambda n: b'{"a"' + b" " * n + b":1}",
    "white space alone": lambda n: b" " * n + b"x",
    "nesting": lambda n: b'{"a":' + b"[" * (n // 2) + b"]" * (n // 2) + b"}",
    "many keys": lambda n: b"{" + b",".join(b'"%d":1' % i for i in range(n // 10)) + b',"z":"\\ud800"}',
    "one key many times": lambda n: b'{"model":"\\ud800"' + b',"model":"x"' * (n // 12) + b"}",
    "objects not closed": lambda n: b'[{"a":1' + b',{"a":1' * (n // 7),
    "a long number": lambda n: b'{"a":' + b"9" * n + b"}",
    "a long fraction": lambda n: b'{"a":0.' + b"9" * n + b"}",
    "a long exponent": lambda n: b'{"a":1e' + b"9" * n + b"}",
    "many long numbers": lambda n: b"[" + (b"9" * 4000 + b",") * (n // 4000) + b"1]",
    "base64 that is none": lambda n: b'{"data":"' + b"A" * n + b'!"}',
    "a data URI that never ends": lambda n: b'{"data":"data:a/b' + b";x" * (n // 2),
    "data URIs that never end": lambda n: b'"data:a/b;' * (n // 10),
    "escapes": lambda n: b'{"a":"' + ESCAPES * (n // 18) + b'"}',
    "lone surrogates": lambda n: b'{"a":"' + b"\\ud800" * (n // 6) + b'"}',
    "no UTF-8": lambda n: b'{"a":"' + b"\xff\xc3" * (n // 2) + b'"}',
}


def _hashed(found: list[conversations.Part]) -> None:
    for part in found:
        assert part.hash >= 0
        assert part.size >= 0


def _identity(request: bytes, response: bytes) -> conversations.Identity:
    asked, answer = conversations.read_request(request), conversations.read_answer(response)
    return conversations.identity_of(asked, answer, "acme")


READERS: dict[str, Callable[[bytes], object]] = {
    "cut_members": json_text.cut_members,
    "cut_items": json_text.cut_items,
    "folded": json_text.folded,
    "mended": json_text.mended,
    "value_end": lambda text: json_text.value_end(text, 0),
    "members": decode.members,
    "items": decode.items,
    "value": decode.value,
    "parse": parsing.parse,
    "parse, as a request": lambda text: parsing.parse(b'{"protocol_version":4,"request":%s}' % text),
    "hello": lambda text: handshake.read_hello(b'{"hello":%s}' % text),
    "is_json": json_text.is_json,
    "model_of": request.model_of,
    "model_of, at the end": lambda text: request.model_of(b'{"x":1,"model":"a",' + text + b"}"),
    "response": lambda text: read_unguarded(Exchange(response=text)),
    "response, wrapped": lambda text: read_unguarded(Exchange(response=b'{"response":{"body":%s}}' % text)),
    "usage": lambda text: read_unguarded(Exchange(response=b'{"usage":%s}' % text)),
    "error": lambda text: read_unguarded(Exchange(response=b'{"error":%s}' % text, status_code=500)),
    "choices": lambda text: read_unguarded(Exchange(response=b'{"choices":[%s]}' % text)),
    "stream": lambda text: read_unguarded(Exchange(stream=text.decode("latin-1"))),
    "event": lambda text: read_unguarded(Exchange(stream="data: " + text.decode("latin-1"))),
    "responses": lambda text: read_unguarded(
        Exchange(stream='data: {"type":"response.created","response":' + text.decode("latin-1"))
    ),
    "parts of a request": lambda text: _hashed(conversations.read_request(text).messages),
    "parts of an answer": lambda text: _hashed(conversations.read_answer(text).parts),
    "identity": lambda text: _identity(text, text),
    "identity of a history": lambda text: _identity(
        b'{"tools":[%s],"messages":[%s,{"role":"assistant","content":%s},{"role":"user","content":%s}]}'
        % (text, text, text, text),
        b'{"choices":[{"message":%s}]}' % text,
    ),
    "conversation": lambda text: conversation.read_conversation(text, text),
    "attachments": lambda text: attachments.cut(text, "store", 64, str),
    "attachments put back": lambda text: attachments.restored(
        text.replace(b"data:", b"llmledger-file:sha256:" + b"0" * 64), lambda _: None
    ),
    "view": view,
    "rendered by the client": lambda text: list(payload.rendered(text, is_stream=False)),
    "rendered by the client as a stream": lambda text: list(payload.rendered(text, is_stream=True)),
    "last word of a stream": endings.is_complete,
    "event stream": eventstream.rendered,
}

REFUSALS = Rejected, json_text.NotJson, json_text.TooDeep, json_text.TooMuch, msgspec.MsgspecError


def quiet(read: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def call(text: bytes) -> None:
        with suppress(*REFUSALS):
            read(text)

    return call


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_takes_time_in_proportion_to_any_text(reader: str) -> None:
    for name, made in TEXTS.items():
        try:
            grows_linearly(quiet(READERS[reader]), made)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def many(event: Callable[[int], str]) -> Callable[[int], str]:
    """Return what makes a stream of events, about so many bytes of them."""
    return lambda size: "".join(f"data: {event(number)}\n\n" for number in range(size // 64))


def chunk(delta: str, index: int = 0) -> str:
    return f'{{"choices":[{{"index":{index},"delta":{delta}}}]}}'


def tool_call(index: object, more: str = "") -> str:
    return f'{{"tool_calls":[{{"index":{index},"function":{{"arguments":"x"}}{more}}}]}}'


STREAMS: dict[str, Callable[[int], str]] = {
    "short events": many(lambda n: "{}"),
    "numbers": many(str),
    "texts": many(lambda n: chunk('{"content":"x"}')),
    "texts between others": many(lambda n: chunk('{"content":"x"}' if n % 9 else '{"refusal":"y"}')),
    "pieces of one tool call": many(lambda n: chunk(tool_call(0))),
    "tool calls": many(lambda n: chunk(tool_call(n))),
    "tool calls with ids": many(lambda n: chunk(tool_call(n % 7, f',"id":"{n}"'))),
    "tool calls without an order": many(lambda n: chunk(tool_call(n * 7919 % 100_003))),
    "tool calls under odd indexes": many(lambda n: chunk(tool_call(f"[{n}]"))),
    "choices": many(lambda n: chunk('{"content":"x"}', n)),
    "huge indexes": many(lambda n: chunk(tool_call(10**9 + n), 10**12 - n)),
    "parts of a content": many(lambda n: chunk(f'{{"content":[{{"type":"image","n":{n}}}]}}')),
    "new members": many(lambda n: chunk(f'{{"a{n}":"x"}}')),
    "new roots": many(lambda n: f'{{"choices":[],"a{n}":{n}}}'),
    "Anthropic's blocks": many(
        lambda n: f'{{"type":"content_block_delta","index":{n},"delta":{{"type":"text_delta","text":"x"}}}}'
    ),
    "Anthropic's arguments": many(
        lambda n: '{"type":"content_block_delta","index":1,"delta":{"partial_json":"x"}}'
    ),
    "Anthropic's ends": many(
        lambda n: f'{{"type":"message_delta","delta":{{"a{n}":1}}}}' if n else '{"type":"message_start"}'
    ),
    "Responses' items": many(
        lambda n: (
            f'{{"type":"response.output_text.delta","output_index":{n},"content_index":{10**9},"delta":"x"}}'
        )
    ),
    "Responses' parts": many(
        lambda n: f'{{"type":"response.content_part.added","output_index":0,"content_index":{n},"part":{{}}}}'
    ),
    "Responses' announcements": many(lambda n: f'{{"type":"response.x","response":{{"a{n}":1}}}}'),
    "Gemini's candidates": many(
        lambda n: f'{{"candidates":[{{"index":{n},"content":{{"parts":[{{"text":"x"}}]}}}}]}}'
    ),
    "Gemini's parts": many(
        lambda n: f'{{"candidates":[{{"content":{{"parts":[{{"text":"x","thought":{n % 2}}}]}}}}]}}'
    ),
    "Converse's blocks": many(
        lambda n: f'{{"contentBlockDelta":{{"contentBlockIndex":{n},"delta":{{"toolUse":{{"input":"x"}}}}}}}}'
    ),
    "Cohere's calls": many(
        lambda n: f'{{"type":"content-delta","index":{n},"delta":{{"message":{{"tool_calls":{{"a":"x"}}}}}}}}'
    ),
    "Interactions' steps": many(lambda n: f'{{"event_type":"x","index":{n},"delta":{{"text":"x"}}}}'),
    "watsonx's results": many(lambda n: f'{{"results":[{{"generated_text":"x","a{n}":1}}]}}'),
    "packed chunks": many(lambda n: '{"bytes":"e30="}' if n % 2 else '{"bytes":"!"}'),
    "lines of data in one event": lambda size: "data: {}\n" * (size // 9),
    "lines of data that are no JSON": lambda size: "data: x\n" * (size // 8),
    "names": lambda size: "event: x\n" * (size // 9),
    "events with names of their own": lambda size: "".join(
        f"event: {n}Exception\ndata: 1\n\n" for n in range(size // 32)
    ),
    "comments": lambda size: ":\n" * (size // 2),
    "line ends of all kinds": lambda size: "data: {}\r\n\r\n\rdata: 1\n\r\r\n" * (size // 24),
    "carriage returns": lambda size: "data: {}\n" + "\r" * size,
    "NDJSON": lambda size: '{"done":false,"message":{"content":"x"}}\n' * (size // 40),
    "NDJSON that never ends": lambda size: '{"a":\n' * (size // 6),
    "an array": lambda size: "[" + '{"candidates":[]},' * (size // 18),
}


def history(message: Callable[[int], str]) -> Callable[[int], bytes]:
    """Return what makes a request of messages, of about so many bytes."""
    return lambda size: (
        b'{"messages":[%s]}' % ",".join(message(number) for number in range(size // 64)).encode()
    )


HISTORIES: dict[str, Callable[[int], bytes]] = {
    "equal answers": history(lambda n: '{"role":"%s","content":"Yes."}' % ("assistant" if n % 2 else "user")),
    "equal calls": history(
        lambda n: (
            '{"role":"%s","tool_calls":[{"function":{"name":"a"}}]}' % ("assistant" if n % 2 else "user")
        )
    ),
    "one turn": history(lambda n: '{"role":"assistant","content":"x"}'),
    "calls in one turn": history(lambda n: f'{{"role":"assistant","tool_calls":[{{"id":"call_{n:024x}"}}]}}'),
    "results": history(lambda n: f'{{"role":"tool","tool_call_id":"call_{n:024x}","content":"x"}}'),
    "texts": history(lambda n: '{"role":"user","content":"%s"}' % ("a word or two " * 4)),
    "times": history(lambda n: '{"role":"user","content":"%s"}' % ("10:10" * 12)),
    "thoughts": lambda size: (
        b'{"messages":[{"role":"assistant","content":"<think>%s"},1]}' % (b" <think>" * (size // 8))
    ),
    "spaces after a thought": lambda size: (
        b'{"messages":[{"role":"assistant","content":"<think>%s"},{}]}' % (b" " * size)
    ),
}


@pytest.mark.parametrize("messages", HISTORIES)
def test_every_history_is_followed_in_time_in_proportion(messages: str) -> None:
    answers = (
        b'{"choices":[{"message":{"role":"assistant","content":"Yes."}}]}',
        b'{"choices":[{"message":{"role":"assistant","tool_calls":[{"function":{"name":"a"}}]}}]}',
    )
    for answer in answers:
        grows_linearly(partial(_identity, response=answer), HISTORIES[messages])


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream_is_made_whole_in_time_in_proportion(stream: str) -> None:
    grows_linearly(lambda text: read_unguarded(Exchange(stream=text)), STREAMS[stream], start=1024)


FIELDS = (
    "timestamp",
    "url",
    "model",
    "provider",
    "error",
    "tags",
    "llm_config",
    "compaction_settings",
    "type",
)

VALUES: dict[str, Callable[[int], str]] = {
    "spaces": lambda n: " " * n + "x",
    "zones": lambda n: "+00:00 UTC " * (n // 11),
    "slashes": lambda n: "https://api.openai.com" + "/v1/" * (n // 4),
    "models": lambda n: "https://x" + "/models/a:" * (n // 10),
    "embed": lambda n: "https://x/model/" + "embed" * (n // 5) + "/x",
    "deployments": lambda n: "https://x" + "/deployments/a" * (n // 14),
    "credentials": lambda n: "https://" + "a@" * (n // 2) + "/?#",
    "hosts": lambda n: "https://" + ".openai.azure.com" * (n // 17),
    "claude": lambda n: "claude-3-5-" * (n // 11),
    "quotes": lambda n: '"' * n,
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_member_becomes_a_column_in_time_in_proportion(field: str) -> None:
    builder = RowBuilder(Pricer())

    def row(text: bytes) -> None:
        with suppress(Rejected):
            record = parsing.parse(text)
            assert isinstance(record, Record)
            builder.row(record, line=text, service="", received_us=RECEIVED_US, batch_id="b", batch_row=0)

    answer = {"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}

    def line(value: Callable[[int], str], size: int) -> bytes:
        text = value(size)
        return msgspec.json.encode(
            {"protocol_version": 4, "response": answer, field: [text] if field == "tags" else text}
        )

    for value in VALUES.values():
        grows_linearly(row, partial(line, value))


@pytest.mark.parametrize("value", VALUES)
def test_times_and_addresses_are_read_in_time_in_proportion(value: str) -> None:
    hosts = recognize.Hosts([".internal", "localhost:8000"])
    for call in (
        lambda text: created_at_us(text, RECEIVED_US),
        url_rules._place.__wrapped__,
        recognize.call_type.__wrapped__,
        lambda text: hosts._provider(text, None),
        bodies.is_text,
    ):
        grows_linearly(call, VALUES[value])


SECRETS: dict[str, Callable[[int], bytes]] = {
    **TEXTS,
    "addresses": lambda n: b'{"a":"' + b"a@b.co " * (n // 7) + b'"}',
    "addresses and a name that is kept": lambda n: (
        b'{"model":"' + b"x" * (n // 2) + b'","a":"' + b"a@b.co " * (n // 14) + b'"}'
    ),
    "names that are kept, many times": lambda n: (
        b'{"model":"a@b.co"' + b',"model":"a@b.co"' * (n // 16) + b',"a":"' + b"a@b.co " * (n // 16) + b'"}'
    ),
    "half an address": lambda n: b'{"a":"' + b"a." * (n // 2) + b'@"}',
    "keys that never end": lambda n: b'{"a":"' + b"-----BEGIN PRIVATE KEY-----a@b.co " * (n // 34) + b'"}',
    "ends of keys that never end": lambda n: (
        b'{"a":"' + b"[redacted:private_key] a@b.co " * (n // 30) + b'"}'
    ),
    "an end of a key that never ends": lambda n: (
        b'{"a":"[redacted:private_key] ' + b"a@b.co " * (n // 7) + b'"}'
    ),
    "keys within half an address": lambda n: b'{"a":"' + b"AKIAABCDEFGHIJKLMNOP." * (n // 21) + b'"}',
    "nearly a name that is kept": lambda n: (
        b'{"model":"' + b"a@b.c " * (n // 12) + b'","a":"' + b"a@b.co " * (n // 14) + b'"}'
    ),
    "cards": lambda n: b'{"a":[' + b"4111111111111111," * (n // 17) + b"1]}",
    "digits": lambda n: b'{"a":"' + b"4" * n + b'"}',
    "passwords": lambda n: b'{"a":[' + b'{"password":"x"},' * (n // 17) + b"1]}",
    "passwords within": lambda n: b'{"a":"' + b'{\\"password\\":\\"x\\"},' * (n // 21) + b'"}',
    "a password that never ends": lambda n: (
        b'{"a":"\\"password\\":\\"' + b'\\\\\\"password' * (n // 12) + b'"}'
    ),
    "bearers": lambda n: b'{"a":"' + b"bearer " * (n // 7) + b'"}',
}

REDACTED = Config(
    redact=("api_keys", "bearer_tokens", "private_keys", "emails", "phones", "cards"),
    redact_keys=("password", "pass"),
    redact_paths=("request.messages[*].content", "request.a[*]"),
    truncate_payload_bytes={"request": 64},
    redaction_patterns=(OwnPattern("own", "x+"),),
)


@pytest.mark.parametrize("text", SECRETS)
def test_whatever_is_hidden_is_found_in_time_in_proportion(text: str) -> None:
    redactor = Redactor.of(REDACTED)

    def hide(line: bytes) -> None:
        redactor.lines([line + b"\n"])
        redactor.head([line + b"\n"])
        with suppress(json_text.NotJson, json_text.TooDeep, UnicodeDecodeError):
            line.decode()
            json_text.folded(json_text.mended(line))
            redactor._payload("request_json", line)

    # Searching is fast, so that its square is seen in long texts alone.
    grows_linearly(hide, SECRETS[text], start=1 << 12, measurable_seconds=0.0075)


def test_lines_are_found_in_time_in_proportion_however_they_are_cut() -> None:
    def feed(step: int, limit: int, text: bytes) -> None:
        framer = Framer(limit)
        for start in range(0, len(text), step):
            piece = bytearray(text[start : start + step])
            framer.feed(piece, len(piece))

    def repeated(text: bytes, size: int) -> bytes:
        return text * (size // len(text) // 4)

    for text in (b"x", b"\n", b"x\n", b"x" * 100 + b"\n"):
        for step in (1, 7, 4096):
            for limit in (1, 64, 1 << 30):
                grows_linearly(partial(feed, step, limit), partial(repeated, text))
