"""Patterns over bytes: what they hide, what they leave, and that JSON survives it (SPEC section 9)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from llmledgerd.config.settings import Config, OwnPattern
from llmledgerd.redaction import Redactor, finding
from llmledgerd.redaction import lines as lines_module
from llmledgerd.redaction.finding import WINDOW_BYTES
from tests.helpers.secrets import SETS, card, planted

ALL = Redactor.of(Config(redact=SETS))


def hidden(line: bytes, redactor: Redactor = ALL) -> bytes:
    out = b"".join(redactor.lines([line]))
    assert len(out) == len(line)
    assert out.count(b"\n") == line.count(b"\n")
    return out


def own(pattern: str, name: str = "own") -> Redactor:
    return Redactor.of(Config(redaction_patterns=(OwnPattern(name, pattern),)))


def record(**fields: Any) -> bytes:
    return json.dumps({"protocol_version": 4, **fields}).encode() + b"\n"


def nested(dice: random.Random, value: Any, depth: int = 0) -> Any:
    """Return the value somewhere within objects, arrays, JSON that is text, and a stream's lines."""
    kind = dice.randrange(6) if depth < 5 else 0
    if kind <= 1:
        return value
    inner = nested(dice, value, depth + 1)
    if kind == 2:
        return {"share": dice.random(), "inner": inner}
    if kind == 3:
        return [1, 2, inner, None]
    if kind == 4:
        return json.dumps(inner, ensure_ascii=dice.random() < 0.5)
    return f"data: {json.dumps({'x': inner, 'usage': {'prompt_tokens': dice.randrange(1 << 32)}})}\n\n"


def opened(value: Any) -> Any:
    """Return the value with every text's JSON read, and every other text by its length alone."""
    if isinstance(value, dict):
        return {name: opened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [opened(inner) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        inner = json.loads(value.removeprefix("data: "))
    except ValueError:
        return len(value)
    return opened(inner) if isinstance(inner, dict | list | str) else len(value)


def plain(line: bytes) -> str:
    """Return the line without its escapes, however deep they are, to look for a secret in it."""
    text = line.decode()
    while "\\\\" in text:
        text = text.replace("\\\\", "\\")
    for escape, character in (("\\/", "/"), ("\\u0040", "@"), ("\\u002B", "+"), ("\\n", "\n")):
        text = text.replace(escape, character)
    return text


def encoded(dice: random.Random, fields: dict[str, Any]) -> bytes:
    """Return a line as one of many encoders would write it."""
    text = json.dumps(fields, ensure_ascii=dice.random() < 0.5)
    if dice.random() < 0.2:
        text = text.replace("/", "\\/")
    if dice.random() < 0.2:
        text = text.replace("@", "\\u0040").replace("+", "\\u002B")
    return text.encode() + b"\n"


def test_a_secret_is_hidden_however_it_is_nested_and_escaped() -> None:
    for seed in range(2000):
        dice = random.Random(seed)
        secret, text = planted(dice)
        fields = {
            "protocol_version": 4,
            "provider_trace_id": dice.choice(["+14155552671", "4111111111111111", "jane@example.org"]),
            "user_id": "jane@example.org",
            "latency_ms": dice.randrange(10**6),
            "request": nested(dice, text),
            "response": {"usage": {"prompt_tokens": dice.randrange(1 << 32)}},
        }
        line = encoded(dice, fields)
        out = hidden(line)
        assert secret not in plain(out), seed
        after = json.loads(out)
        assert opened(after) == opened(fields) | {
            name: len(fields[name]) for name in ("provider_trace_id", "user_id")
        }, seed
        for name in ("provider_trace_id", "user_id", "latency_ms", "response"):
            assert after[name] == fields[name], seed


def test_what_identifies_a_call_stays_in_begin_record_and_elsewhere() -> None:
    identity = {
        "provider_trace_id": "+14155552671",
        "user_id": "jane@example.org",
        "org_id": "4111111111111111",
    }
    line = record(
        **identity, billing={"customer_id": "jim@example.org"}, request={"user_id": "joe@example.org"}
    )
    after = json.loads(hidden(line))
    assert after["billing"] == {"customer_id": "jim@example.org"}
    assert {name: after[name] for name in identity} == identity
    assert after["request"] == {"user_id": "*" * 15}
    begun = record(begin={**identity, "tags": ["jane@example.org"]})
    after = json.loads(hidden(begun))["begin"]
    assert {name: after[name] for name in identity} == identity
    assert after["tags"] == ["[redacted:email]"]


def test_the_same_text_is_kept_as_an_identifier_and_hidden_in_a_payload() -> None:
    after = json.loads(hidden(record(user_id="jane@example.org", request="to jane@example.org")))
    assert (after["user_id"], after["request"]) == ("jane@example.org", "to [redacted:email]")


def test_numbers_stay_numbers_and_counts_stay_as_they_are() -> None:
    number = int(card(random.Random(7)).replace(" ", ""))
    usage = {"prompt_tokens": 4155552671, "created": 1763712812, "logprob": -0.4111111111111111}
    stream = f"data: {json.dumps({'usage': usage, 'card': number})}\n\n"
    line = record(request={"card": number, "usage": usage}, response_stream=stream)
    for redactor in (ALL, own(r"[0-9]{3,}")):
        after = json.loads(hidden(line, redactor))
        assert after["request"] == {"card": 1111111111111111, "usage": usage}
        assert json.loads(after["response_stream"][6:]) == {"card": 1111111111111111, "usage": usage}


def test_a_pattern_of_ones_own_leaves_names_and_structure_alone() -> None:
    line = record(request={"prompt_tokens": "prompt_tokens"}, response_stream='{"prompt_tokens":"tokens"}')
    after = json.loads(hidden(line, own("request|protocol_version|tokens|null|true|[:,{}]")))
    assert after["request"] == {"prompt_tokens": "prompt_******"}
    assert list(after) == ["protocol_version", "request", "response_stream"]


def test_a_group_says_what_of_a_match_is_hidden() -> None:
    after = json.loads(hidden(record(request="case 123-45 of 678-90"), own("case ([0-9-]+)")))
    assert after["request"] == "case ****** of 678-90"


def test_a_match_ends_at_a_quotation_mark_and_at_a_newline() -> None:
    lines = record(request={"a": "begin", "b": "end"}) + record(request="end")
    assert hidden(lines, own("begin(?s:.*)end")) == lines


@pytest.mark.parametrize(
    "line", [b'{"a":"jane@example.org', b"\xff jane@example.org\n", b"jane@example.org\n", b"\n"]
)
def test_what_is_no_json_is_hidden_by_its_bytes(line: bytes) -> None:
    assert b"jane" not in hidden(line)


def test_json_that_is_no_object_and_json_that_nests_deeply_stay_json() -> None:
    deep = b"[" * 3000 + b'"jane@example.org"' + b"]" * 3000 + b"\n"
    out = hidden(deep)
    assert out == deep.replace(b"jane@example.org", b"[redacted:email]")
    line = b'{"request":%s,"user_id":"jane@example.org"}\n' % deep[:-1]
    assert hidden(line).endswith(b'"user_id":"jane@example.org"}\n')
    assert hidden(line).count(b"jane") == 1


def test_a_lone_surrogate_beside_a_secret_is_left_whole() -> None:
    out = hidden(b'{"request":"\\ud800jane@example.org\\udfff"}\n')
    assert out == b'{"request":"\\ud800[redacted:email]\\udfff"}\n'


def test_a_secret_right_behind_a_letter_of_another_alphabet_is_found_and_the_letter_stays() -> None:
    text = "\u5361\u53f7{}\u3002"  # "card number" in Chinese
    for secret, mask in (("4111111111111111", "[redacted:card]*"), ("jane@example.org", "[redacted:email]")):
        after = json.loads(hidden(record(request=text.format(secret))))
        assert after["request"] == text.format(mask)


def test_the_head_of_a_long_line_loses_its_last_word_which_may_be_half_a_secret() -> None:
    head = b'{"request":"to jane@example.org with sk-proj-abc'
    (out,) = ALL.head([head + b"\n"])
    assert out == b'{"request":"to [redacted:email] with ***********\n'
    assert len(out) == len(head) + 1


def test_a_key_that_was_cut_is_hidden_to_where_it_was_cut() -> None:
    out = hidden(b'{"request":"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0","a":"b"}\n')
    assert b"MIIE" not in out
    assert out.endswith(b'","a":"b"}\n')


def test_secrets_are_found_on_both_sides_of_every_window() -> None:
    text = "a" * (WINDOW_BYTES - 20) + '"jane@example.org' * 4
    out = hidden(record(request=[text, text]))
    assert b"jane" not in out
    assert json.loads(out)


def test_a_line_in_pieces_is_one_line() -> None:
    whole = record(request="to jane@example.org")
    (out,) = ALL.lines([bytearray(whole[:40]), whole[40:]])
    assert out == hidden(whole)


def test_nothing_is_copied_where_nothing_is_found() -> None:
    line = record(request="nothing to see")
    (out,) = ALL.lines([line])
    assert out is line


def test_any_bytes_keep_their_length_and_json_stays_json() -> None:
    parts = [
        b'"', b"\\", b"\\u00", b"\\u0040", b"\\n", b"{", b"}", b"[", b"]", b":", b",", b" ", b"\n", b"\xff", b"\xc3\xa9",
        b"jane@example.org", b"4111111111111111", b"+14155552671", b"Bearer abcdef0123456789", b'"user_id":',
        b"-----BEGIN PRIVATE KEY-----", b'"a"', b"1",
    ]  # fmt: skip
    eager = Redactor.of(Config(redact=SETS, redaction_patterns=(OwnPattern("all", r"[a-z\\0-9:,{}\[\] ]+"),)))
    for seed in range(5000):
        dice = random.Random(seed)
        line = b"".join(dice.choices(parts, k=dice.randrange(1, 25))) + b"\n"
        quoted = json.dumps({"request": line.decode("latin-1")}).encode() + b"\n"
        for redactor in (ALL, eager):
            hidden(line, redactor)
            json.loads(hidden(quoted, redactor))


def test_ids_are_kept_and_words_are_kept_unless_a_secret_is_in_them() -> None:
    key = "sk-proj-aB3dE6gH9jK2mN5pQ8rS1t"
    ids = {"org_id": key, "user_id": key, "billing": {"customer_id": key, "plan_type": key}}
    words = {
        "model": f"gpt {key}",
        "type": key,
        "error_type": key,
        "timestamp": key,
        "source": "jane@example.org",
    }
    after = json.loads(hidden(record(**ids, **words, begin={"provider_trace_id": key, "model": key})))
    assert (after["org_id"], after["user_id"], after["billing"]["customer_id"]) == (key, key, key)
    assert after["begin"]["provider_trace_id"] == key
    assert after["source"] == "jane@example.org"
    for value in (
        after["model"],
        after["type"],
        after["error_type"],
        after["timestamp"],
        after["billing"]["plan_type"],
    ):
        assert key not in value
    assert after["begin"]["model"].startswith("[redacted:api_key]")


@pytest.mark.parametrize("name", ["protocol_version", "hello", "dropped", "end", "agent_id", "tags"])
def test_what_is_no_id_hides_nothing(name: str) -> None:
    key = "sk-proj-aB3dE6gH9jK2mN5pQ8rS1t"
    line = json.dumps({"protocol_version": 4, name: {key: [key]}}).encode() + b"\n"
    assert key.encode() not in hidden(line)


def test_a_line_that_cannot_be_looked_at_is_hidden_and_the_others_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redactor = Redactor.of(Config(redact=SETS))
    good, bad = record(request="good"), record(request="bad")
    lines = lines_module._Line

    def fails(raw: bytes, *args: Any, **kwargs: Any) -> Any:
        if b"bad" in raw:
            raise RuntimeError("unheard of")
        return lines(raw, *args, **kwargs)

    monkeypatch.setattr(lines_module, "_Line", fails)
    bad = record(request="bad jane@example.org")
    out = hidden(good + bad + good, redactor)
    assert out == good + b"*" * (len(bad) - 1) + b"\n" + good
    assert redactor.counts["unreadable"] == 1


def test_the_text_of_a_hello_is_hidden_as_lines_are() -> None:
    redactor = Redactor.of(Config(redact=SETS))
    assert redactor.text("api sk-proj-aB3dE6gH9jK2mN5pQ8rS1t") == "api [redacted:api_key]************"
    assert (redactor.text(""), redactor.text("api")) == ("", "api")
    assert redactor.counts == {"api_key": 1}


def test_a_pass_for_each_pattern_hides_what_one_pass_for_all_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("jane@example.org", "AKIAABCDEFGHIJKLMNOP", "bearer abcdefgh12345678", "+49 170 1234567 ")
    dice = random.Random(7)
    lines = [record(request=" ".join(dice.choices((*secrets, "words", '"x"'), k=40))) for _ in range(50)]
    before = [hidden(line) for line in lines]
    assert all(b"[redacted:" in line for line in before)
    monkeypatch.setattr(finding, "MOST_PASSES", -1)
    assert [hidden(line) for line in lines] == before
