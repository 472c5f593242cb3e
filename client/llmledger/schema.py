"""JSON Schema of the wire protocol and the tables of PROTOCOL.md, from the types in ``protocol``.

``python -m llmledger.schema > docs/protocol.schema.json`` writes the schema, and
``python -m llmledger.schema PROTOCOL.md`` renews the tables of that file.

Invariant: fields, types and limits are those that client and daemon use; none is named here. No module
imports this one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from llmledger.protocol import (
    CONTROL_BODIES,
    PROTOCOL_VERSION,
    Begin,
    Billing,
    Durable,
    End,
    Hello,
    Record,
    Refused,
    Unsupported,
)

_TYPES: Final = (Record, Billing, Hello, Begin, End, Durable, Refused, Unsupported)


def schema() -> dict[str, Any]:
    """Return the schema of a sender's line, and of an answer under ``$defs/DaemonLine``."""
    definitions = {kind.__name__: _object(kind) for kind in _TYPES}
    definitions["Record"]["properties"] |= {name: {"type": "null"} for name in CONTROL_BODIES}
    lines = {
        f"{name.capitalize()}Line": _control(name, _schema_of(body)) for name, body in CONTROL_BODIES.items()
    }
    answers = [{"$ref": f"#/$defs/{kind.__name__}"} for kind in (Durable, Refused, Unsupported)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line that a sender writes to the llmledger daemon",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("Record", *lines)],
        "$defs": {**definitions, **lines, "DaemonLine": {"oneOf": answers}},
    }


def _schema_of(kind: Any) -> dict[str, Any]:
    (found,), _ = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return found


def _object(kind: type[msgspec.Struct]) -> dict[str, Any]:
    fields = msgspec.structs.fields(kind)
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": {field.encode_name: _schema_of(field.type) for field in fields},
        "required": [field.encode_name for field in fields if field.required],
    }


def _control(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"protocol_version": {"const": PROTOCOL_VERSION}, name: body},
        "required": ["protocol_version", name],
    }


def text() -> str:
    """Return the schema as the content of its file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def record_table() -> str:
    """Return the table of a record's fields, as Markdown."""
    begin = set(Begin.__struct_fields__)
    rows = ["| field | type | since | in `begin` | meaning |", "|---|---|---|---|---|"]
    for field in msgspec.structs.fields(Record):
        meta = _documentation(field.type)
        mark = "yes" if field.name in begin else ""
        rows.append(
            f"| `{field.name}` | {_words(field.type)} | {meta.extra['since']} | {mark} | {meta.description} |"
        )
    return "\n".join(rows)


def hello_table() -> str:
    """Return the table of a hello's keys, as Markdown."""
    rows = ["| key | type | meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(Hello):
        meaning = _documentation(field.type).description
        rows.append(f"| `{field.name}` | {_words(field.type)} | {'required; ' * field.required}{meaning} |")
    return "\n".join(rows)


def _documentation(kind: Any) -> Any:
    return next(meta for meta in kind.__metadata__ if meta.description)


def _words(kind: Any) -> str:
    """Return a field's type in words; null, which every optional field allows, is not named."""
    of = _schema_of(kind)
    alternatives = [one for one in of.get("anyOf", [of]) if one.get("type") != "null"]
    return " or ".join(dict.fromkeys(map(_word, _numbers(alternatives))))


def _numbers(alternatives: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the alternatives without the integer of a number."""
    is_number = any(one.get("type") == "number" for one in alternatives)
    return [one for one in alternatives if not (is_number and one.get("type") == "integer")]


def _word(of: dict[str, Any]) -> str:
    if "enum" in of:
        return ", ".join(f"`{value}`" for value in of["enum"] if value is not None)
    kind = of.get("type")
    if kind == "array":
        return f"list of {of['items']['type']}s"
    if kind == "object" and "additionalProperties" in of:
        return f"object of {of['additionalProperties']['type']}s"
    if "maxLength" in of:
        least = f"{of['minLength']} to" if "minLength" in of else "at most"
        return f"{kind} of {least} {of['maxLength']} characters"
    if "minimum" in of:
        return f"{kind} ≥ {of['minimum']}"
    return str(kind or ("object" if "$ref" in of else "any JSON"))


def with_tables(page: str) -> str:
    """Return PROTOCOL.md with its tables renewed, which stand between comments with their names."""
    for name, table in (("record", record_table()), ("hello", hello_table())):
        found = re.search(rf"( *)<!-- table: {name} -->\n.*?<!-- end -->", page, re.DOTALL)
        if found is not None:
            page = page.replace(found[0], _marked(found[1], name, table))
    return page


def _marked(indent: str, name: str, table: str) -> str:
    lines = (f"<!-- table: {name} -->", "", *table.split("\n"), "", "<!-- end -->")
    return "\n".join(f"{indent}{line}" if line else "" for line in lines)


if __name__ == "__main__":
    if sys.argv[1:]:
        page = Path(sys.argv[1])
        page.write_text(with_tables(page.read_text()))
    else:
        sys.stdout.write(text())
