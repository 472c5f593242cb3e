"""Whether anybody sells at an endpoint's host."""

from __future__ import annotations

import pytest

from llmledgerd.usage.self_hosted import host_of, is_self_hosted


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "http://127.0.0.1/v1",
        "http://127.8.9.1/v1",
        "http://10.0.0.5:8000",
        "http://172.16.3.4/v1",
        "http://192.168.1.1/v1",
        "http://169.254.10.1/v1",
        "http://100.100.1.1/v1",
        "http://0.0.0.0:11434/api/chat",
        "http://[::1]:8000/v1",
        "http://[fe80::1%25eth0]/v1",
        "http://[fd00::7]/v1",
        "http://[::ffff:10.0.0.1]/v1",
        "http://vllm:8000/v1",
        "http://vllm.models.svc/v1",
        "http://vllm.models.svc.cluster.local:80/v1",
        "http://box.local/v1",
        "http://LLM.Internal./v1",
        "http://host.docker.internal:1234/v1",
        "https://abc-8000.proxy.runpod.net/v1",
        "https://x.ngrok-free.app/v1",
        "https://abc.us-east-1.aws.endpoints.huggingface.cloud/v1",
        "localhost:8000/v1",
        "https://8.8.8.8/v1",
        "https://[2606:4700::1111]/v1",
    ],
)
def test_bare_addresses_and_private_and_rented_hosts_sell_nothing_by_the_token(url: str) -> None:
    assert is_self_hosted(host_of(url))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://api.openai.com/v1/chat/completions",
        "https://local.example.com/v1",
        "https://internal-tools.example.com/v1",
        "http://[broken",
    ],
)
def test_public_hosts_may(url: str) -> None:
    assert not is_self_hosted(host_of(url))
