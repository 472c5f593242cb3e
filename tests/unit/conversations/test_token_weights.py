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
    is_vietnamese = re.search("[ế]", text) is not None
    return (
        weights._WORD * len(re.findall("[a-zA-Zéế]+", text))
        + weights._CASE_CHANGE * len(re.findall("[a-z](?=[A-Z])", plain))
        + weights._DIGIT_GROUP * groups
        + weights._MARK_RUN * len(re.findall(r"[!-/:-@\[-`{-~]+", plain))
        + weights._MARK * len(re.findall(r"[!-/:-@\[-`{-~]", plain))
        + weights._LINE * plain.count("\n")
        + sum(
            weight * sum(first in firsts for first in text.encode()) for firsts, weight in weights._OF_OTHERS
        )
        + sum(weight * text.encode().count(letter) for letter, weight in weights._OF_LETTERS)
        + (0 if is_vietnamese else weights._ACCENT * text.count("é"))
        + (0 if is_vietnamese else sum(weight * text.encode().count(end) for end, weight in weights._ENDS))
    )


@given(st.text(alphabet='abeinXY0123 .,{"\n\téế\u0430\u0456中', max_size=300))
def test_classes_that_a_text_does_not_have_are_left_out_of_its_estimate_and_no_others(text: str) -> None:
    assert weights.text_tokens(text.encode()) == pytest.approx(max(1.0, counted(text)))


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        pytest.param(
            62,
            "The agent reads the ticket, looks for the order in the shop and asks the customer which "
            "of the two parcels is missing. If nobody answers within three days, it closes the ticket "
            "and leaves a note for the support team. Refunds above fifty dollars are checked by a "
            "person before any money is paid back.",
            id="English",
        ),
        pytest.param(
            66,
            "Der Agent liest die Anfrage, sucht die Bestellung im Laden und fragt die Kundin, welches "
            "der beiden Pakete fehlt. Wenn drei Tage lang niemand antwortet, schließt er die Anfrage "
            "und hinterlässt eine Nachricht für die Abteilung. Rückzahlungen über fünfzig Euro werden "
            "von einem Menschen geprüft, bevor Geld überwiesen wird.",
            id="German",
        ),
        pytest.param(
            75,
            "L'agente legge la richiesta, cerca l'ordine nel negozio e chiede alla cliente quale dei "
            "due pacchi manca. Se per tre giorni non risponde nessuno, chiude la richiesta e lascia "
            "una nota per il gruppo di assistenza. I rimborsi sopra i cinquanta euro vengono "
            "controllati da una persona prima che i soldi siano restituiti.",
            id="Italian",
        ),
        pytest.param(
            68,
            "De agent leest de aanvraag, zoekt de bestelling in de winkel en vraagt de klant welk van "
            "de twee pakketten ontbreekt. Als drie dagen lang niemand antwoordt, sluit hij de aanvraag "
            "en laat hij een bericht achter voor de afdeling. Terugbetalingen boven vijftig euro "
            "worden door een mens gecontroleerd voordat er geld wordt overgemaakt.",
            id="Dutch",
        ),
        pytest.param(
            94,
            "Agent czyta zgłoszenie, szuka zamówienia w sklepie i pyta klientkę, której z dwóch paczek "
            "brakuje. Jeżeli przez trzy dni nikt nie odpowie, zamyka zgłoszenie i zostawia notatkę dla "
            "działu pomocy. Zwroty powyżej pięćdziesięciu złotych są sprawdzane przez człowieka, zanim "
            "pieniądze zostaną przelane.",
            id="Polish",
        ),
        pytest.param(
            100,
            "Агент читає звернення, шукає замовлення в магазині та питає клієнтку, якої з двох посилок "
            "бракує. Якщо протягом трьох днів ніхто не відповідає, він закриває звернення і залишає "  # noqa: RUF001 - Ukrainian
            "повідомлення для відділу підтримки. Повернення понад п'ятдесят гривень перевіряє людина, "
            "перш ніж гроші буде переказано.",
            id="Ukrainian",
        ),
        pytest.param(
            71,
            "Tác nhân đọc yêu cầu, tìm đơn hàng trong cửa hàng và hỏi khách hàng gói nào trong hai gói "
            "bị thiếu. Nếu trong ba ngày không ai trả lời, nó đóng yêu cầu và để lại ghi chú cho nhóm "
            "hỗ trợ. Các khoản hoàn tiền trên năm mươi đồng được một người kiểm tra trước khi tiền "
            "được trả lại.",
            id="Vietnamese",
        ),
        pytest.param(
            84,
            "ตัวแทนอ่านคำขอ ค้นหาคำสั่งซื้อในร้าน และถามลูกค้าว่าพัสดุใดในสองชิ้นที่หายไป "
            "หากไม่มีใครตอบภายในสามวัน ระบบจะปิดคำขอและฝากข้อความไว้ให้ทีมช่วยเหลือ "
            "การคืนเงินที่เกินห้าสิบบาทจะมีคนตรวจสอบก่อนจ่ายเงินคืน",
            id="Thai",
        ),
    ],
)
def test_prose_is_estimated_by_its_language(tokens: int, text: str) -> None:
    """The counts are those of o200k."""
    assert weights.text_tokens(text.encode()) == pytest.approx(tokens, rel=0.16)
