"""Estimates of tokens."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.conversations import token_weights as weights


def counted(text: str) -> float:
    """Return the sum of the weights, with each class counted by a pattern."""
    plain = re.sub(r"[^\x00-\x7f]", "  ", text)
    groups = sum((len(run) + 2) // 3 for run in re.findall("[0-9]+", plain))
    return (
        weights._WORD * len(re.findall("[a-zA-Z]+", plain))
        + weights._CASE_CHANGE * len(re.findall("[a-z](?=[A-Z])", plain))
        + weights._DIGIT_GROUP * groups
        + weights._MARK_RUN * len(re.findall(r"[!-/:-@\[-`{-~]+", plain))
        + weights._MARK * len(re.findall(r"[!-/:-@\[-`{-~]", plain))
        + weights._LINE * plain.count("\n")
        + sum(
            weight * sum(first in firsts for first in text.encode()) for firsts, weight in weights._OF_OTHERS
        )
    )


@given(st.text(alphabet='abXY0123 .,{"\n\té中', max_size=300))
def test_classes_that_a_text_does_not_have_are_left_out_of_its_estimate_and_no_others(text: str) -> None:
    assert weights.text_tokens(text.encode()) == pytest.approx(max(1.0, counted(text)))
