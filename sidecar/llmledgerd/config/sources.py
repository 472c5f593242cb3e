"""Sources of settings: the file, and text from flags and the environment.

Invariant: an error names its source and never quotes a password.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from llmledgerd.errors import ConfigError


def read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # a daemon without a file does without it

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
