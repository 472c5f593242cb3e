"""The manifests hold together, and keep what the daemon promises: no eviction, no cut drain, no root."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmledgerd.config import settings as config
from llmledgerd.stores import registry

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(FOLDER.rglob("*.yaml"))
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
APPLICATION_SECONDS = 30
"""What Kubernetes gives an application to end, and what it keeps beside the sidecar."""
MADE_BY_HAND = {"Secret/llmledgerd-clickhouse"}
"""What docs/kubernetes.md has the operator make."""
OF_THE_CLIENT = {"LLMLEDGER_SERVICE"}


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def everything() -> Iterator[dict[str, Any]]:
    for path in FILES:
        if path.name != "kustomization.yaml":
            yield from documents(path)


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Return the specs of the pods; the sidecar's patch is a part of one."""
    return [
        (f"{document['kind']}/{document['metadata']['name']}", document["spec"]["template"]["spec"])
        for document in everything()
        if "template" in document.get("spec", {})
    ]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def ours() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return pod and container of each that runs our image."""
    return [
        (f"{name}/{container['name']}", pod, container)
        for name, pod in pods()
        for container in containers(pod)
        if container["image"] == "llmledgerd"
    ]


def pod_named(name: str) -> dict[str, Any]:
    return dict(pods())[name]


def daemon_of(pod: dict[str, Any]) -> dict[str, Any]:
    return next(container for container in containers(pod) if container["name"] == "llmledgerd")


def settings_of(container: dict[str, Any]) -> config.Config:
    """Return what the daemon in it goes by."""
    (shared,) = (document["data"] for document in everything() if document["kind"] == "ConfigMap")
    own = {variable["name"]: variable["value"] for variable in container.get("env", [])}
    found, warnings = registry.load(None, {**shared, **own}, with_password=False)
    assert not warnings
    return found


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]  # fails where it is none
    return int(number) * UNITS[unit]


SIDECAR, DAEMONSET = pod_named("Deployment/any"), pod_named("DaemonSet/llmledgerd")


def test_what_a_kustomization_names_is_there() -> None:
    found = [path for path in FILES if path.name == "kustomization.yaml"]
    assert len(found) == 5
    for path in found:
        (content,) = documents(path)
        named = [*content.get("resources", []), *content.get("components", [])]
        named += [patch["path"] for patch in content.get("patches", [])]
        for name in named:
            assert (path.parent / name).exists(), f"{path}: {name}"
        files = {other.name for other in path.parent.glob("*.yaml")} - {path.name}
        assert files <= set(named), f"{path} leaves some of {files} out"


def test_what_a_pod_refers_to_is_there() -> None:
    there = MADE_BY_HAND | {f"{one['kind']}/{one['metadata']['name']}" for one in everything()}
    volumes_of_sidecar = {volume["name"] for volume in SIDECAR["volumes"]}
    for name, pod in pods():
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in containers(pod):
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted <= volumes | (volumes_of_sidecar if name == "Deployment/application" else set())
            for source in container.get("envFrom", []):
                assert f"ConfigMap/{source['configMapRef']['name']}" in there
            ports = {port["name"] for port in container.get("ports", [])}
            probes = [container[kind] for kind in container if kind.endswith("Probe")]
            assert {probe["httpGet"]["port"] for probe in probes} <= ports
        secrets = {volume["secret"]["secretName"] for volume in pod.get("volumes", []) if "secret" in volume}
        assert {f"Secret/{secret}" for secret in secrets} <= there
        assert len(secrets) == (name != "Deployment/application")


def test_every_variable_is_a_setting() -> None:
    for name, _, container in ours():
        assert settings_of(container), name
    (application,) = pod_named("Deployment/application")["containers"]
    assert {variable["name"] for variable in application["env"]} <= OF_THE_CLIENT


def test_what_lies_in_the_spool_cannot_evict_the_application() -> None:
    settings = settings_of(daemon_of(SIDECAR))
    (spool,) = (volume for volume in SIDECAR["volumes"] if volume["name"] == "llmledgerd-spool")
    # Quarantine has no bound of its own: a start puts aside at most what the spool held. What is being
    # read when the spool becomes full still comes into it.
    most = 2 * settings.spool_max_bytes + settings.dead_letters_max_bytes + settings.max_inflight_bytes
    assert most <= 0.8 * size(spool["emptyDir"]["sizeLimit"])


def test_the_grace_period_leaves_the_drain_its_time() -> None:
    for pod, application_seconds in ((SIDECAR, APPLICATION_SECONDS), (DAEMONSET, 0)):
        drain = settings_of(daemon_of(pod)).drain_timeout_seconds
        assert pod["terminationGracePeriodSeconds"] > drain + application_seconds
    assert settings_of(daemon_of(SIDECAR)).spool_ephemeral
    assert not settings_of(daemon_of(DAEMONSET)).spool_ephemeral


def test_the_sidecar_is_there_before_the_application_and_after_it() -> None:
    (sidecar,) = SIDECAR["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]
    assert "readinessProbe" not in sidecar, "a full spool would take the application out of its service"


def test_the_socket_lies_where_the_client_looks_and_the_group_may_write() -> None:
    (application,) = pod_named("Deployment/application")["containers"]
    for container in (application, daemon_of(SIDECAR), daemon_of(DAEMONSET)):
        paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert paths["llmledgerd-socket"] == str(Path(config.Config().socket_path).parent)
    assert settings_of(daemon_of(SIDECAR)).socket_mode == "0660"
    assert SIDECAR["securityContext"]["fsGroup"]


@pytest.mark.parametrize(
    ("name", "pod", "container"), ours(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_containers_may_do_nothing_but_their_work(
    name: str, pod: dict[str, Any], container: dict[str, Any]
) -> None:
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"]["drop"] == ["ALL"]
    assert {**pod["securityContext"], **context}["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["enableServiceLinks"] is False
    assert container["resources"]["limits"]["memory"]
    if container["name"] == "own-folders":  # gives the node's folders to the daemon, and ends
        assert context["capabilities"]["add"] == ["CHOWN", "FOWNER"]
        return
    whole = {**pod["securityContext"], **context}
    assert whole["runAsNonRoot"] is True
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert user is not None
    assert [whole["runAsUser"], whole["runAsGroup"]] == [int(user[1]), int(user[2])]


def test_the_monitor_finds_the_pods() -> None:
    (monitor,) = (document for document in everything() if document["kind"] == "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = 0
    for document in everything():
        if document["kind"] in ("DaemonSet", "Deployment") and document["metadata"]["name"] != "application":
            template = document["spec"]["template"]
            assert wanted <= template["metadata"]["labels"].items()
            daemon = daemon_of(template["spec"])
            port = next(port for port in daemon["ports"] if port["name"] == endpoint["port"])
            assert settings_of(daemon).admin_address == f"0.0.0.0:{port['containerPort']}"
            found += 1
    assert found == 2


@pytest.mark.parametrize("variant", ["base", "example", "daemonset"])
def test_kustomize_builds_it(variant: str) -> None:
    if not shutil.which("kubectl") and not shutil.which("kustomize"):
        pytest.skip("neither kustomize nor kubectl is here")
    command = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    done = subprocess.run([*command, str(FOLDER / variant)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = {document["kind"]: document for document in yaml.safe_load_all(done.stdout)}
    assert {"ConfigMap", "Job"} <= built.keys()
    if variant == "example":
        pod = built["Deployment"]["spec"]["template"]["spec"]
        assert [container["name"] for container in pod["containers"]] == ["application"]
        assert [container["name"] for container in pod["initContainers"]] == ["llmledgerd"]
