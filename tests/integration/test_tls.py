"""TLS to ClickHouse is verified: the right authority is believed, and nobody else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.errors import ConfigError, StoreBusy
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import prefork
from tests.helpers.engine import Engine, running_engine, without_faults

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def authority(folder: Path, name: str) -> Path:
    """Make a certificate authority, and return its certificate."""
    certificate = folder / f"{name}.pem"
    openssl(
        "req", "-x509", *KEY, "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", certificate
    )
    return certificate


def certificate_of(folder: Path, host: str, signer: str) -> Path:
    """Make a certificate for a host, and return the file that has it and its key."""
    key, request, signed = (folder / f"{host}.{ending}" for ending in ("key", "csr", "crt"))
    openssl("req", "-new", *KEY, "-subj", f"/CN={host}", "-keyout", key, "-out", request)
    names = folder / "names"
    names.write_text(f"subjectAltName=DNS:{host}\nauthorityKeyIdentifier=keyid\n")
    openssl(
        "x509", "-req", "-in", request, "-CA", folder / f"{signer}.pem", "-CAkey", folder / f"{signer}.key",
        "-CAcreateserial", "-days", "2", "-extfile", names, "-out", signed,
    )  # fmt: skip
    both = folder / f"{host}.pem"
    both.write_text(key.read_text() + signed.read_text())
    return both


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = tmp_path_factory.mktemp("tls")
    authority(made, "ours")
    authority(made, "theirs")
    return made


@pytest.fixture(scope="module")
def secured(folder: Path) -> Iterator[Engine]:
    without_faults()
    with running_engine(folder / "data", certificate=certificate_of(folder, "localhost", "ours")) as engine:
        yield engine


def refusal(url: str) -> str:
    """Return how a store is said to be out of reach."""
    store = Store(url, timeout_seconds=5)
    with pytest.raises(StoreBusy) as caught:
        store.version()
    assert (type(caught.value), caught.value.kind) == (StoreBusy, "unreachable")
    return str(caught.value)


def test_a_certificate_of_the_named_authority_is_believed(secured: Engine, folder: Path) -> None:
    store = Store(f"{secured.url}?ca_cert={folder / 'ours.pem'}")

    assert store.version()

    store.close()


@pytest.mark.parametrize("authority_of_url", ["?ca_cert={folder}/theirs.pem", ""])
def test_a_certificate_of_another_authority_is_refused_in_one_line(
    secured: Engine, folder: Path, authority_of_url: str
) -> None:
    said = refusal(secured.url + authority_of_url.format(folder=folder))

    assert "certificate verify failed" in said
    assert secured.address in said
    assert "\n" not in said


def test_a_certificate_for_another_host_is_refused_in_one_line(secured: Engine, folder: Path) -> None:
    said = refusal(f"https://127.0.0.1:{secured.port}/default?ca_cert={folder / 'ours.pem'}")

    assert "not valid for '127.0.0.1'" in said
    assert "\n" not in said


def test_a_url_cannot_say_that_certificates_are_not_to_be_verified(secured: Engine) -> None:
    """The driver has such an option; here its name is a setting of ClickHouse like any other."""
    assert "certificate verify failed" in refusal(f"{secured.url}?verify=false")


def test_an_authority_s_file_that_is_missing_is_the_operator_s_to_mend(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"ca_cert: .*nowhere\.pem"):
        Store(f"https://localhost/?ca_cert={folder / 'nowhere.pem'}")


def test_check_says_in_one_line_what_is_wrong_with_the_certificate(secured: Engine, folder: Path) -> None:
    url = f"{secured.url}?ca_cert={folder / 'theirs.pem'}"
    done = prefork.run("llmledgerd", "check", "--clickhouse-url", url, environment=os.environ)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "certificate verify failed" in done.stderr
