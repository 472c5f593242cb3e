"""Price files: wrong ones end the start, and at a reload leave the prices as they were."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from llmledgerd.config.settings import Config
from llmledgerd.daemon.price_files import Prices, lists
from llmledgerd.errors import ConfigError
from llmledgerd.records.pricing import PricedCall
from llmledgerd.usage.exchange_facts import Facts, PricedUsage

CALL = PricedCall("openai", "gpt-4o")
DATA = [
    {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": "https://api\\.openai\\.com",
        "models": [{"id": "gpt-9", "match": {"equals": "gpt-9"}, "prices": {"input_mtok": 7}}],
    }
]


def cost(prices: Prices, model: str = "gpt-4o") -> str:
    facts = Facts(model=model, usage_source="reported", priced=[PricedUsage(input=1_000_000)])
    price = prices.pricer.price(facts, CALL)
    return f"{price.usd or price.reason:} {price.price_list}".strip()


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    file = tmp_path / "prices.toml"
    file.write_text("[[prices]]\nper_million_tokens = { input = 1 }")
    os.utime(file, (1_790_000_000, 1_790_000_000))
    return file


def test_prices_are_those_of_the_file_and_name_it_with_its_date(file: Path) -> None:
    assert cost(Prices(Config(prices_file=str(file)))).startswith(
        "1.000000000 prices.toml 2026-09-21, genai-prices"
    )


@pytest.mark.parametrize("content", ["[[prices]]\nper_call = -1", "nonsense"])
def test_a_wrong_file_ends_the_start(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError, match=str(file)):
        Prices(Config(prices_file=str(file)))
    with pytest.raises(ConfigError, match="price_list_file: /nowhere: No such file"):
        lists(Config(price_list_file="/nowhere"))


def test_a_reload_prices_by_the_files_as_they_are_then(file: Path) -> None:
    config = Config(prices_file=str(file))
    prices = Prices(config)
    pricer = prices.pricer
    file.write_text("[[prices]]\nper_million_tokens = { input = 2 }")
    prices.reload(config)
    assert cost(prices).startswith("2.000000000 ")
    assert prices.pricer is pricer, "rows are built with the one that was handed out"
    prices.reload(Config())
    assert cost(prices).startswith("2.500000000 genai-prices")


def test_a_wrong_file_at_a_reload_leaves_the_prices_and_is_said_until_it_is_mended(file: Path) -> None:
    config = Config(prices_file=str(file))
    prices = Prices(config)
    file.write_text("[[prices]]\nper_million_tokens = { inputs = 2 }")
    prices.reload(config)
    assert cost(prices).startswith("1.000000000 ")
    assert prices.failures == 1
    assert "entry 1" in prices.trouble
    file.write_text("[[prices]]\nper_million_tokens = { input = 3 }")
    prices.reload(config)
    assert (cost(prices)[:4], prices.failures, prices.trouble) == ("3.00", 1, "")


def test_a_newer_price_list_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(msgspec.json.encode(DATA))
    os.utime(file, (1_790_000_000, 1_790_000_000))
    prices = Prices(Config(price_list_file=str(file)))
    assert cost(prices, "gpt-9") == "7.000000000 genai-prices data.json 2026-09-21"
    for wrong in (b"{}", b"[]", b"[1]", b'[{"id": 5}]', b"\xff"):
        file.write_bytes(wrong)
        prices.reload(Config(price_list_file=str(file)))
        assert prices.trouble.startswith(f"{file}: no data of genai-prices: ")
    assert cost(prices, "gpt-9") == "7.000000000 genai-prices data.json 2026-09-21"
