"""Sources of settings: the file, text from flags and the environment, variables of existing deployments.

Invariant: an error names its source and never quotes a password.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from llmledgerd.errors import ConfigError


def read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None


def listed(value: Any, kind: Any) -> Any:
    """Return a list or a table that came as text: JSON, or words with commas between them."""
    container = get_origin(get_args(kind)[0])
    if not isinstance(value, str) or container not in (tuple, dict):
        return value
    if value.lstrip().startswith(("[", "{")):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise msgspec.ValidationError(f"no JSON: {error}") from None
    return [word.strip() for word in value.split(",") if word.strip()] if container is tuple else value


def deployed_clickhouse(environment: Mapping[str, str]) -> str:
    """Return the URL that the variables of existing deployments make up; empty without them.

    ``CLICKHOUSE_ENDPOINT`` is a URL, ``host:port`` or a bare host; the last two are without TLS.
    """
    endpoint = environment.get("CLICKHOUSE_ENDPOINT", "").strip()
    if not endpoint:
        return ""
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        port = parts.port or (8443 if parts.scheme == "https" else 8123)
    except ValueError:  # whose text quotes what may be half a password
        raise ConfigError("CLICKHOUSE_ENDPOINT: neither a URL nor host:port") from None
    user = environment.get("CLICKHOUSE_USERNAME") or parts.username or ""
    password = environment.get("CLICKHOUSE_PASSWORD") or parts.password or ""
    database = environment.get("CLICKHOUSE_DATABASE") or parts.path.strip("/")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    secrets = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    return urlunsplit((parts.scheme, f"{secrets}{host}:{port}", f"/{database}", parts.query, ""))
