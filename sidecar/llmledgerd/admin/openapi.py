"""OpenAPI description of ``/v1``, derived from the types that serve it.

Invariant: the description has exactly the endpoints, parameters and fields that exist.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, Final

import msgspec

from llmledgerd import __version__
from llmledgerd.query.erasure import Erased
from llmledgerd.query.repricing import Reprice, Repriced
from llmledgerd.query.requests import QueryRequest
from llmledgerd.query.results import Table
from llmledgerd.query.routes import ENDPOINTS, ERASE, REPRICE, Endpoint, EraseRequest, Problem
from llmledgerd.telemetry.status import Status

REF: Final = "#/components/schemas/{name}"
SCOPE_PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "organization_id",
        "in": "query",
        "description": "Restrict to one organization. Optional with a token for exactly one organization.",
        "schema": {"type": "string"},
    },
    {
        "name": "all_organizations",
        "in": "query",
        "description": "`true` for all organizations (operators only); mutually exclusive with organization_id.",
        "schema": {"type": "boolean", "default": False},
    },
]
PROBLEMS: Final = {
    "400": "Invalid request.",
    "401": "Missing or unknown bearer token.",
    "403": "The token does not permit this request.",
    "503": "The store is unavailable, or too many queries are queued.",
}


def description() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    questions = [endpoint.question for endpoint in ENDPOINTS]
    answers = [endpoint.answer for endpoint in ENDPOINTS]
    types = [*questions, *answers, Problem, Status, Table, EraseRequest, Erased, Reprice, Repriced]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    by_endpoint = dict(zip(ENDPOINTS, schemas[len(questions) :], strict=False))
    asked = {kind: components.pop(kind.__name__)["properties"] for kind in dict.fromkeys(questions)}
    paths = {
        endpoint.path: {"get": _operation(endpoint, asked[endpoint.question], schema)}
        for endpoint, schema in by_endpoint.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "llmledger",
            "version": __version__,
            "description": "Queries over the calls recorded by an llmledgerd daemon. Unknown numbers are null, never 0;"
            " amounts of money are decimal strings, so that no client rounds them; times are UTC.",
        },
        "security": [{"token": []}],
        "paths": paths | _others(),
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, fields: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    needed = {field.name for field in msgspec.structs.fields(endpoint.question) if field.required}
    said = _summary(endpoint.question)
    parameters = SCOPE_PARAMETERS + [
        _parameter(name, schema, name in needed) for name, schema in fields.items()
    ]
    responses = _responses(answer)
    if endpoint.may_be_none:
        responses["404"] = _problem("Not found.")
    return {
        "operationId": endpoint.question.__name__,
        "summary": said,
        "parameters": parameters,
        "responses": responses,
    }


def _parameter(name: str, schema: dict[str, Any], required: bool) -> dict[str, Any]:
    """Return one parameter. An array is one string of comma-separated values."""
    kept = {key: value for key, value in schema.items() if key != "description"}
    given: dict[str, Any] = {"name": name, "in": "query", "required": required, "schema": kept}
    if "description" in schema:
        given["description"] = schema["description"]
    if schema.get("type") == "array":
        given |= {"style": "form", "explode": False}
    return given


def _others() -> dict[str, Any]:
    sql = {
        "operationId": "Sql",
        "summary": "Run one SELECT. Operators only.",
        "requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}},
        "responses": _responses({"$ref": REF.format(name="Table")}),
    }
    status = {
        "operationId": "Status",
        "summary": "Get the daemon's counters and gauges. Operators only.",
        "responses": _responses({"$ref": REF.format(name="Status")}),
    }
    erase = {
        "operationId": "Erase",
        "summary": "Count what would be erased; with the returned code, erase it irrevocably. Requires the right to erase.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": REF.format(name="EraseRequest")}}},
        },
        "responses": _responses({"$ref": REF.format(name="Erased")}),
    }
    reprice = {
        "operationId": "Reprice",
        "summary": "Recompute the costs of stored calls by the prices in force. Operators only.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": REF.format(name="Reprice")}}},
        },
        "responses": _responses({"$ref": REF.format(name="Repriced")}),
    }
    return {
        "/v1/sql": {"post": sql},
        "/v1/status": {"get": status},
        ERASE: {"post": erase},
        REPRICE: {"post": reprice},
    }


def _responses(schema: dict[str, Any]) -> dict[str, Any]:
    found = {status: _problem(said) for status, said in PROBLEMS.items()}
    return {
        "200": {"description": "The result.", "content": {"application/json": {"schema": schema}}},
        **found,
    }


def _problem(said: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}}
    return {"description": said, "content": content}


def _summary(kind: type[QueryRequest]) -> str:
    return cleandoc(kind.__doc__ or "").splitlines()[0]
