"""What people say before they say what they want. Pure.

Invariant: a text with a digit, or with a word that is none of these, tells a conversation from others.
"""

from __future__ import annotations

import re
from typing import Final

from llmledgerd.conversations import parts
from llmledgerd.conversations.parts import Part

LONGEST: Final = 48
"""Characters of a greeting, at most."""

_GREETINGS: Final = """
hello hi hey hiya howdy yo sup greetings good morning afternoon evening day night there all everyone you are how doing
today is it going what up again dear assistant bot claude gpt chatgpt gemini copilot ai friend team sir madam please
thanks thank ok okay yes no test testing ping start begin help continue go on
hallo guten tag morgen abend moin servus grüezi hoi goedemorgen goedemiddag bonjour salut bonsoir coucou hola buenos
días dias buenas tardes noches olá ola oi bom dia boa tarde noite ciao salve buongiorno buonasera cześć czesc dzień
dobry merhaba selam hej hei namaste привет здравствуйте добрый день вітаю
你好 您好 嗨 哈喽 こんにちは こんばんは おはよう もしもし 안녕 안녕하세요 مرحبا السلام عليكم أهلا שלום
"""
"""English, with what people send to see whether anybody is there; German, Dutch, French, Spanish, Portuguese, Italian,
Polish, Turkish, Nordic languages, Hindi, Russian, Ukrainian; Chinese, Japanese, Korean, Arabic, Hebrew."""
_WORDS: Final = frozenset(_GREETINGS.split())
_WORD: Final = re.compile(r"\w+")


def is_greeting(part: Part) -> bool:
    """Return whether a part is a text of a few words that start any conversation; an empty one is too.

    >>> is_greeting(Part("text", "user", 0, "Hello there!")), is_greeting(Part("text", "user", 0, "Fix bug 7"))
    (True, False)
    """
    text = part.value
    if part.kind != parts.TEXT or text.__class__ is not str or len(text) > LONGEST:
        return False
    return all(word in _WORDS for word in _WORD.findall(text.lower()))
