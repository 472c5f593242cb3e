"""Secrets of many kinds, written in many ways, in every field there is: none may be found anywhere afterwards."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import openai_chat
from tests.helpers.session import Session
from tests.helpers.waiting import until
from tests.integration.test_redaction import plain, spooled, stream
from tests.security.attack import Attack
from tests.security.planted import KINDS

ATTEMPTS = 3200
LIMIT = 64 << 10
NOWHERE = "http://127.0.0.1:1/nowhere"
SETTINGS = {
    "redact": "api_keys,bearer_tokens,private_keys",
    "max_line_bytes": LIMIT,
    "orphan_grace_seconds": 0.2,
}
RED, RESET = "\x1b[1;31m", "\x1b[0m"

CONTEXTS: dict[str, str] = {
    "alone": "{}", "in a sentence": "use {} please", "own line": "first\n{}\nlast", "CRLF": "a\r\n{}\r\nb",
    "tabs": "\t{}\t", "form feed": "a\f{}\fb", "backspace": "a\b{}\b", "vertical tab": "a\v{}", "bell": "a\a{}\a",
    "NUL": "a\0{}", "colored": f"{RED}{{}}{RESET}", "colored behind a letter": f"key{RED}{{}}{RESET}end",
    "true color": "\x1b[38;2;1;2;3m{}\x1b[m", "cleared line": "a\x1b[2K{}", "cursor": "\x1b[?25l{}\x1b[?25h",
    "C1 control": "a\x9b31m{}", "title": "\x1b]0;x\x07{}", "character set": "a\x1b(B{}",
    "\\x1b written out": r"a\x1b[31m{}\x1b[0m", "\\033 written out": r"a\033[31m{}\033[0m",
    "\\e written out": r"a\e[31m{}\e[0m", "\\u001b written out": r"a\u001b[31m{}\u001b[0m",
    "^[ written out": "a^[[31m{}^[[0m", "color without its escape": "a[31m{}[0m", "percent-encoded color": "%1B%5B31m{}",
    "\\n written out": r"a\n{}\n", "\\t written out": r"a\t{}\t", "%3D": "k%3D{}", "%3D, encoded again": "k%253D{}", "%22, encoded twice again": "k%252522{}", "%22": "%22{}%22", "%0A": "a%0A{}",
    "quoted-printable": "k=3D{}", "underscore": "MY_{}", "dot": "a.{}", "hyphen": "a-{}", "slash": "a/{}", "equals": "k={}",
    "colon": "k:{}", "quoted": 'said "{}".', "single quotes": "k='{}'", "backticks": "`{}`", "brackets": "[{}]",
    "parentheses": "f({})", "angles": "<{}>", "comma": "a,{},b", "semicolon": "a;{};", "pipe": "a|{}|b", "at": "a@{}",
    "entity": "&quot;{}&quot;", "accent": "\xe9{}\xfc", "Chinese": "\u5bc6\u94a5{}\u3002", "emoji": "\U0001f511{}",
    "zero width": "\u200b{}", "byte order mark": "\ufeff{}", "json in text": '{{"a": "{}"}}', "code": "```\n{}\n```",
}  # fmt: skip
"""How a text surrounds what is planted in it."""


class Secret(msgspec.Struct, frozen=True):
    """One attempt."""

    kind: str
    context: str
    place: str
    secret: str


class Sent(msgspec.Struct):
    """What a place is: lines of one connection."""

    line: dict[str, Any] | bytes
    in_session: bool = False


Place = Callable[[int, str], Sent]


def record(number: int, **fields: Any) -> dict[str, Any]:
    # What is planted comes first, since of a line over the limit only the head is kept.
    own = {"protocol_version": 4, "provider_trace_id": f"call-{number}", **fields}
    return {**own, **{name: value for name, value in openai_chat(number).items() if name not in own}}


def field(name: str, shape: Callable[[str], Any] = str) -> Place:
    return lambda number, text: Sent(record(number, **{name: shape(text)}))


def nested(depth: int) -> Place:
    def shape(text: str) -> Any:
        for _ in range(depth):
            text = json.dumps({"a": [1, text]})
        return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}

    return field("request", shape)


def begun(name: str, shape: Callable[[str], Any] = str) -> Place:
    return lambda number, text: Sent(
        {"protocol_version": 4, "begin": {"provider_trace_id": f"begun-{number}", name: shape(text)}}
    )


def stretched(escape: Callable[[str], str]) -> Place:
    """Write the characters of keys with escapes that JSON allows and nobody needs."""

    def make(number: int, text: str) -> Sent:
        line = json.dumps(record(number, request="@@"))
        return Sent(line.replace("@@", escape(text)).encode())

    return make


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if ord(c) < 0x80 else json.dumps(c)[1:-1] for c in text)


def _punctuation(text: str) -> str:
    inner = json.dumps(text)[1:-1]
    return re.sub(r"(?<!\\)[-_=+:.]", lambda found: f"\\u{ord(found[0]):04X}", inner)


PLACES: dict[str, Place] = {
    **{f"request, {depth} deep": nested(depth) for depth in range(5)},
    "request as text": field("request"), "request's member name": field("request", lambda text: {text: 1}),
    "request, an array": field("request", lambda text: [1, [text], None]),
    "tool arguments": field("request", lambda text: {"tools": [{"arguments": json.dumps({"note": text})}]}),
    "image url": field("request", lambda text: {"image_url": {"url": f"https://x.example/?q={text}"}}),
    "response": field("response", lambda text: {"choices": [{"message": {"content": text}}]}),
    "response as text": field("response"), "error": field("error"),
    "error object": field("error", lambda text: {"message": text, "type": "x"}), "error_type": field("error_type"),
    "stream": lambda number, text: Sent(record(number, response=None, response_stream=stream("so: ", text, "."))),
    "stream's comment": lambda number, text: Sent(
        record(number, response=None, response_stream=": " + json.dumps(text) + "\n\n" + stream("a"))
    ),
    "stream of NDJSON": field("response_stream", lambda text: json.dumps({"message": {"content": text}, "done": True}) + "\n"),
    "stream that is none": field("response_stream"),
    "url": field("url", lambda text: f"https://api.example/v1?x={text}"), "tags": field("tags", lambda text: ["a", text]),
    "response_headers": field("response_headers", lambda text: {"x-note": text}),
    "header's name": field("response_headers", lambda text: {text: "x"}),
    "llm_config": field("llm_config", lambda text: {"note": text}),
    "compaction_settings": field("compaction_settings", lambda text: {"note": text}),
    "type": field("type"), "source": field("source"), "service": field("service"), "provider": field("provider"),
    "model": field("model"), "timestamp": field("timestamp"), "outcome": field("outcome"),
    "billing.plan_type": field("billing", lambda text: {"plan_type": text}),
    "billing.cost_source": field("billing", lambda text: {"cost_source": text}),
    "unknown field": field("surprise"), "unknown field's name": lambda number, text: Sent(record(number, **{text: 1})),
    "wrong type": field("tags"), "wrong number": field("latency_ms"), "wrong id": field("agent_id", lambda text: [text]),
    "protocol_version": field("protocol_version"), "misplaced hello": lambda number, text: Sent(
        {"protocol_version": 4, "hello": {"session": "x", "service": text}}, in_session=True
    ),
    "dropped": lambda number, text: Sent({"protocol_version": 4, "dropped": {text: 1}}, in_session=True),
    "dropped, wrong": lambda number, text: Sent({"protocol_version": 4, "dropped": {"x": text}}),
    "end, wrong": lambda number, text: Sent({"protocol_version": 4, "end": {"taken": text}}),
    "begin.tags": begun("tags", lambda text: [text]), "begin.url": begun("url"), "begin.model": begun("model"),
    "begin.service": begun("source"), "begin.type": begun("type"), "begin, wrong": begun("attempt"),
    "no JSON": lambda number, text: Sent(b'{"surely": not, "' + json.dumps(text).encode()),
    "plain text": lambda number, text: Sent(text.replace("\n", " ").replace("\r", " ").encode(errors="replace")),
    "not UTF-8": lambda number, text: Sent(b'{"protocol_version":4,"x":"\xff","request":%s}' % json.dumps(text).encode()),
    "no object": lambda number, text: Sent(json.dumps([text]).encode()),
    "too long": lambda number, text: Sent(record(number, tags=[text], request="x" * LIMIT)),
    "every character escaped": stretched(_escaped), "punctuation escaped": stretched(_punctuation),
    "slashes escaped": stretched(lambda text: json.dumps(text)[1:-1].replace("/", "\\/")),
    "letters as they are": lambda number, text: Sent(
        json.dumps(record(number, request=text), ensure_ascii=False).encode()
    ),
    "half a surrogate beside": stretched(lambda text: "\\ud800" + json.dumps(text)[1:-1] + "\\udfff"),
    "nested beyond msgspec": stretched(lambda text: '","deep":' + "[" * 1200 + json.dumps(text) + "]" * 1200 + ',"x":"'),
}  # fmt: skip
"""Every field of the wire that is no id, and every way for a line to be wrong."""


class Planter:
    """Makes the attempts: each kind meets each context and each place in its turn."""

    def __init__(self, seed: int) -> None:
        self.secrets: list[Secret] = []
        self._dice = random.Random(seed)
        self._numbers = itertools.count()

    def lines(self, count: int) -> Iterator[Sent]:
        kinds, contexts, places = list(KINDS), list(CONTEXTS), list(PLACES)
        for each in (kinds, contexts, places):
            self._dice.shuffle(each)
        for turn in range(count):
            kind, context, place = (
                names[(turn + turn // len(names)) % len(names)] for names in (kinds, contexts, places)
            )
            text = CONTEXTS[context].format(self._planted(kind, context, place))
            yield PLACES[place](next(self._numbers), text)

    def broken(self) -> Iterator[Sent]:
        """Keys that are colored half-way, or broken over two lines."""
        for kind in ("openai project", "github", "google", "anthropic", "gitlab", "groq", "hugging face"):
            for middle in (f"{RED}", f"{RESET}", "\n", "\r\n"):
                secret, text = KINDS[kind](self._dice)
                at = text.index(secret) + len(secret) // 2
                for half in (secret[: len(secret) // 2], secret[len(secret) // 2 :]):
                    self.secrets.append(Secret(kind, f"broken by {middle!r}", "request", half))
                whole = f"$ export X={text[:at]}{middle}{text[at:]}\n$ ls"
                yield Sent(record(next(self._numbers), request=whole))

    def parted(self, count: int) -> Iterator[Sent]:
        """Keys that are whole in no chunk of a stream."""
        for kind in itertools.islice(itertools.cycle(KINDS), count):
            secret, text = KINDS[kind](self._dice)
            at = text.index(secret) + len(secret) // 2
            for half in (secret[: len(secret) // 2], secret[len(secret) // 2 :]):
                self.secrets.append(Secret(kind, "parted", "stream", half))
            chunks = (text.replace("\0", "@") for text in ("so: " + text[:at], text[at:], " it is"))
            yield Sent(record(next(self._numbers), response=None, response_stream=stream(*chunks)))

    def hello(self) -> str:
        return self._planted("anthropic", "alone", "hello")

    def _planted(self, kind: str, context: str, place: str) -> str:
        secret, text = KINDS[kind](self._dice)
        self.secrets.append(Secret(kind, context, place, secret))
        return text.replace("\0", "@")


def encoded(sent: Sent, turn: int) -> bytes:
    if isinstance(sent.line, bytes):
        return sent.line + b"\n"
    return json.dumps(sent.line, ensure_ascii=turn % 2 == 0).encode() + b"\n"


def send(daemon: RunningDaemon, planter: Planter, count: int) -> None:
    everything = [*planter.lines(count), *planter.broken(), *planter.parted(len(KINDS))]
    alone = [encoded(sent, turn) for turn, sent in enumerate(everything) if not sent.in_session]
    daemon.send_one_way(b"".join(alone[::2]))
    daemon.send_one_way(b"".join(alone[1::2]))
    within = [encoded(sent, turn) for turn, sent in enumerate(everything) if sent.in_session]
    with Session(daemon.socket, service=planter.hello()) as session:
        session.hello()
        session.send(within)
        session.wait_durable(len(within))
    until(lambda: received(daemon) >= len(alone) + len(within))


def received(daemon: RunningDaemon) -> int:
    status = admin.status(daemon.folder / "admin.sock")
    return int(status["received"]) + int(status["control_lines"])


def said(daemon: RunningDaemon) -> bytes:
    """Return what the daemon tells of itself."""
    path = daemon.folder / "admin.sock"
    return json.dumps(admin.status(path)).encode() + b"\n" + admin.get(path, "/metrics")[1].encode()


def files(*folders: Path) -> bytes:
    """Return all that lies in files, also as it was before it was compressed."""
    found = [path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()]
    return b"\n".join([*found, *(gzip.decompress(data) for data in found if data[:2] == b"\x1f\x8b")])


def rows(daemon: RunningDaemon) -> bytes:
    store = Store(daemon.url)
    try:
        raw = ["request_json", "response_json", "llm_config_json", "compaction_settings_json", "usage_json"]
        found: Sequence[Any] = store.query("SELECT * FROM llm_traces", raw=raw)
        return repr([*found, *store.query("SELECT * FROM llm_trace_losses")]).encode()
    finally:
        store.close()


def settled(daemon: RunningDaemon) -> bool:
    status = admin.status(daemon.folder / "admin.sock")
    return not status["in_spool"] and not status["begun_calls"]


def judge(attack: Attack, planter: Planter, places: dict[str, bytes]) -> None:
    texts = {place: plain(data) + data.decode(errors="replace") for place, data in places.items()}
    for one in planter.secrets:
        found = [place for place, text in texts.items() if one.secret in text]
        what = f"{one.kind}, {one.context}, in {one.place}: found in {', '.join(found)}: {one.secret[:12]}…"
        attack.tried(what, through=bool(found))


def round_of(attack: Attack, payloads: str, count: int) -> None:
    folder = attack.folder / payloads
    objects = folder / "objects"
    settings = {**SETTINGS, "payloads": payloads, "payload_store": f"file://{objects}"}
    planter = Planter(len(payloads))
    with RunningDaemon(folder, url=NOWHERE, settings=settings) as daemon:
        send(daemon, planter, count)
        places = {"status and metrics, waiting": said(daemon)}
        daemon.kill()
        places["spool, waiting"] = b"\n".join(spooled(daemon.spool))
        daemon.url = f"chdb://{folder}/clickhouse"
        daemon.start()
        until(lambda: settled(daemon))
        places["status and metrics"] = said(daemon)
        assert daemon.terminate() == 0
        places["spool and dead letters"] = files(daemon.spool)
        places["log"] = daemon.log_path.read_bytes()
        places["objects"] = files(objects)
        places["tables"] = rows(daemon)
    assert b"call-" in places["tables"]
    judge(attack, planter, places)


def run(attack: Attack) -> None:
    for payloads in ("inline", "offload"):
        round_of(attack, payloads, ATTEMPTS // 2)
