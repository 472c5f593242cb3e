"""Text of others does nothing on a terminal, and JSON keeps its value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.cli import daemon
from llmledgerd.printable import CONTROLS, clean, clean_json, one_line


@given(st.text())
def test_json_has_the_same_value_and_no_effect(text: str) -> None:
    said = clean_json(json.dumps({text: text}, ensure_ascii=False))
    assert json.loads(said) == {text: text}
    assert not CONTROLS.search(said)


@given(st.text())
def test_text_has_no_effect(text: str) -> None:
    assert not CONTROLS.search(clean(text))
    assert not set(one_line(text)) & set("\n\r\t\x85\u2028")


def test_words_of_any_script_are_left_as_they_are() -> None:
    text = "naïve мир שלום 世界 👩\u200d🚀 نص\n\tx"
    assert clean(text) == text


def test_an_argument_that_is_no_utf8_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["llmledgerd", "token", "--org", "secret\udc9b"])
    with pytest.raises(SystemExit) as end:
        daemon.main()
    assert end.value.code == 2
    assert (
        capsys.readouterr().err == "llmledgerd: an argument or a variable of the environment is not UTF-8\n"
    )
