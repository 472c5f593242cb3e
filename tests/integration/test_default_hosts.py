"""The addresses that the installed SDKs call by default are known, by client and daemon, under one name.

Read out of the SDKs themselves, in a process of its own, because their imports leave threads and loops behind.
"""

from __future__ import annotations

import json
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from llmledger.instrumentation.recognize import known_provider
from llmledgerd.usage.url_rules import place
from tests.helpers.daemon import ROOT

pytestmark = pytest.mark.slow

OF_NO_MODEL = {
    "api.wavespeed.ai": "videos",
    "fal.run": "images",
    "queue.fal.run": "images and videos",
}
"""Hosts of Hugging Face's router that no text goes through."""

READ = """
import json, os
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import anthropic, boto3, botocore.config, groq, mistralai.client.sdkconfiguration, openai
from cohere.environment import ClientEnvironment
from google import genai
from huggingface_hub.inference._providers import PROVIDERS
from litellm.constants import openai_compatible_endpoints

found = [openai.OpenAI(api_key="k").base_url, groq.Groq(api_key="k").base_url]
found += [anthropic.Anthropic(api_key="k").base_url, anthropic.AnthropicFoundry(resource="r", api_key="k").base_url]
found += [openai.BedrockOpenAI(aws_region="us-east-1", api_key="k").base_url]
for region in ("us", "eu", "global", "europe-west1"):
    found.append(anthropic.AnthropicVertex(region=region, project_id="p", access_token="t").base_url)
    found.append(
        genai.Client(vertexai=True, project="p", location=region)._api_client._http_options.base_url
    )
keys = {"aws_region": "us-east-1", "api_key": "k"}
found.append(anthropic.AnthropicAWS(workspace_id="w", **keys).base_url)
found.append(anthropic.AnthropicBedrockMantle(**keys).base_url)
found.append(anthropic.AnthropicBedrock(aws_region="eu-west-1").base_url)
found.append(anthropic.lib.google_cloud._client.DEFAULT_URL_TEMPLATE)
found += [one.value for one in ClientEnvironment]
found += mistralai.client.sdkconfiguration.SERVERS.values()
found.append(genai.Client(api_key="k")._api_client._http_options.base_url)
aws = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
both = botocore.config.Config(use_dualstack_endpoint=True, use_fips_endpoint=True)
for region, config in [
    ("us-east-1", None), ("us-east-1", both), ("us-gov-west-1", None), ("cn-north-1", None),
    ("eusc-de-east-1", None), ("us-iso-east-1", None),
]:
    client = boto3.client("bedrock-runtime", region_name=region, config=config, **aws)
    found.append(client.meta.endpoint_url)
found += [helper.base_url for tasks in PROVIDERS.values() for helper in tasks.values() if helper.base_url]
found += openai_compatible_endpoints
print(json.dumps(sorted({str(one) for one in found})))
"""


@pytest.fixture(scope="module")
def hosts() -> list[str]:
    """Return the hosts of the SDKs' default addresses."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    urls: list[str] = json.loads(done.stdout.splitlines()[-1])
    return sorted({urlsplit(url if "//" in url else f"//{url}").hostname or "" for url in urls})


def test_every_default_host_is_known_under_one_name(hosts: list[str]) -> None:
    assert len(hosts) > 60
    named = {host: (known_provider(host, None), place(f"https://{host}/").provider) for host in hosts}
    unknown = {host: names for host, names in named.items() if not names[0] or names[0] != names[1]}
    assert unknown.keys() == OF_NO_MODEL.keys(), unknown
