"""A token of one organization sees a row of another.

Every answer that a token of ``alpha`` gets is searched for the marks of ``beta``: each text of its rows
holds one. A cursor of beta's page, its ids, values that look like SQL, wildcards, null, empty and repeated
parameters, other spellings of the parameters, headers and paths are tried at every address of ``/v1``.
"""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlencode

from llmledgerd.admin import auth
from llmledgerd.query.requests import GROUPS, fields
from llmledgerd.query.routes import ENDPOINTS, Endpoint
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.daemon import RunningDaemon
from tests.helpers.places import free_port
from tests.helpers.store_rows import add_traces
from tests.security.attack import Attack

MARK = "BETAS-OWN"
TEXTS = (
    "project_id", "agent_id", "run_id", "conversation_id", "turn_id", "parent_turn_id", "step_id", "trace_id", "user_id", "service", "model", "provider", "call_type",
    "error_message", "billing_customer_id", "billing_plan_type",
)  # fmt: skip
NEEDED: Mapping[str, Mapping[str, str]] = {
    "/v1/call": {"id": f"{MARK}-id"},
    "/v1/step": {"step_id": f"{MARK}-step_id"},
    "/v1/run": {"id": f"{MARK}-run_id"},
}
FULL = (
    "/v1/cache", "/v1/cache/calls", "/v1/anatomy", "/v1/tools", "/v1/tool-calls", "/v1/retries", "/v1/retried-calls",
    "/v1/runs", f"/v1/run?id={MARK}-run_id",
)  # fmt: skip
"""Addresses whose answers are computed from several rows: beta's have something to be seen."""
VALUES = [
    "beta", "Beta", "BETA", " beta", "beta ", "beta\x00", "beta\n", "alpha,beta", "alpha|beta", "alpha' OR '1'='1", "alpha') OR 1=1 --",
    "' UNION ALL SELECT * FROM llm_traces --", "alpha\\' OR 1=1 --", "%", "*", "_", "?", "null", "NULL", "None", "undefined", "", "true", "[]",
    "['beta']", '["alpha","beta"]', "{}", "0", "-1", "NaN", "alpha\x00beta", "{alpha:String}", "{organization_id:String}", "ALL", "ALL_ORGANIZATIONS",
    "AllOrganizations.ALL", "all", "\uff42\uff45\uff54\uff41", "b\u0435ta", "beta\u200b", "beta\u0301", "../beta", "%62eta", "%2562eta", "beta%00", "be%74a",
    MARK, f"{MARK}-id", f"provider_trace-{MARK}-id", f"{MARK}-step_id", f"{MARK}-run_id", "1) OR (1", "char(98)", "\\x62eta", "\u2028beta", "\ud83d\ude00", "a" * 5000,
]  # fmt: skip
NAMES = [
    "organization_id", "organization_id[]", "organization_id[0]", "organizationId", "Organization_Id", "ORGANIZATION_ID", "org", "org_id", "organization",
    "organization_id%00", "organization_id ", " organization_id", "organization\u005fid", "all_organizations", "all", "scope", "user", "where", "filter", "sql", "tenant",
]  # fmt: skip
HEADERS = [
    {"X-Organization-Id": "beta"}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Original-URL": "/v1/status"}, {"X-Rewrite-URL": "/v1/calls?organization_id=beta"},
    {"X-HTTP-Method-Override": "POST"}, {"Host": "localhost"}, {"Host": "daemon"}, {"Cookie": "token=x; organization_id=beta"}, {"Forwarded": "for=unix:"},
    {"Transfer-Encoding": "chunked"}, {"Content-Length": "0"}, {"Connection": "Authorization"}, {"Upgrade": "h2c", "Connection": "Upgrade"},
    {"X-Forwarded-Prefix": "/v1"}, {"Range": "bytes=0-"}, {"Accept": "text/html"}, {"Accept-Encoding": "gzip"}, {"Expect": "100-continue"},
]  # fmt: skip
PATHS = [
    "/v1/status", "/v1/sql", "/v1/losses", "/v1//calls", "/v1/./calls", "/v1/../v1/calls", "//v1/calls", "/V1/calls", "/v1/calls/", "/v1/calls;organization_id=beta",
    "/v1/calls%3Forganization_id=beta", "/v1%2Fcalls", "/v1/%63alls", "/v1/calls#", "/v1/erase", "/metrics", "/readyz", "/healthz", "/v1", "/v1/", "/", "/v1/openapi.json",
    "http://127.0.0.1/v1/calls?organization_id=beta", "/v1/calls?organization_id=alpha&organization_id=beta", "/v1/calls?organization_id=beta&organization_id=alpha",
    "/v1/calls?organization_id=alpha;organization_id=beta", "/v1/calls?organization_id=alpha%26organization_id=beta", "/v1/calls?&&organization_id=beta",
]  # fmt: skip


ALL_NAMES_AT = "/v1/calls"
SHARED_OUT = 8
"""Routes that share the values of a field out, at most."""

Attempt = tuple[str, str, dict[str, str], str | None]
"""Method, path, headers, body."""


class Asker:
    """Asks over one connection, which is opened again where it was closed."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: str | None = None
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            connection.putheader("Authorization", f"Bearer {self._token}")
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body.encode())))
            connection.endheaders(body.encode() if body is not None else None)
            if "Transfer-Encoding" in headers:
                connection.send(b"0\r\n\r\n")
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (http.client.HTTPException, OSError):
            return 0, ""
        finally:
            connection.close()


def run(attack: Attack) -> None:
    store = Store(f"chdb://{attack.folder}/d/clickhouse")
    migrations.apply(store, migrations.Layout(ttl_days=0))
    add_traces(store, _rows())
    store.close()
    made = {name: auth.new([name] if name else []) for name in ("alpha", "beta", "")}
    made["both"] = auth.new(["alpha", "beta"])
    file = attack.folder / "tokens.toml"
    file.write_text("\n".join(entry for _, entry in made.values()))
    port = free_port()
    settings = {"admin": f"127.0.0.1:{port}", "admin_tokens_file": file}
    attack.ends.enter_context(RunningDaemon(attack.folder / "d", settings=settings))
    beta, alpha = Asker(port, made["beta"][0]), Asker(port, made["alpha"][0])
    code, text = beta.ask("GET", "/v1/calls?limit=2", {})
    cursor = json.loads(text)["cursor"]
    assert code == 200, text
    assert MARK in text
    for path in FULL:
        assert MARK in beta.ask("GET", path, {})[1], path
    attempts = list(_attempts(cursor))
    _ask_all(attack, alpha, attempts)
    of_beta = [one for one in attempts if "organization_id=beta" in one[1]]
    with attack.control("the token's restriction"):
        _ask_all(attack, Asker(port, made["both"][0]), of_beta)
    code, text = alpha.ask("GET", "/v1/calls", {})
    attack.tried("its own rows are not seen any more", through="alphas-own" not in text)


def _ask_all(attack: Attack, asker: Asker, attempts: list[Attempt]) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda one: asker.ask(*one), attempts))
    for (method, path, headers, _), (status, said) in zip(attempts, answers, strict=True):
        echoed = said.replace(path, "") if status != 200 else said  # a refusal may name what it was asked
        attack.tried(f"{status} {method} {path[:150]} {headers}", through=status == 200 and MARK in echoed)


def _attempts(cursor: str) -> Iterator[Attempt]:
    for endpoint in ENDPOINTS:
        needed = NEEDED.get(endpoint.path, {})
        for name, value in _values(endpoint, [*VALUES, cursor]):
            yield "GET", _address(endpoint.path, {**needed, name: value}), {}, None
        # One function reads the names of all routes: one route gets each with all of these values.
        tried = [*VALUES[:14], "true", "alpha"] if endpoint.path == ALL_NAMES_AT else ["beta"]
        for name, value in itertools.product(NAMES, tried):
            yield "GET", _address(endpoint.path, {**needed, name: value}), {}, None
            yield (
                "GET",
                f"{_address(endpoint.path, {**needed, 'organization_id': 'alpha'})}&{quote(name)}={quote(value)}",
                {},
                None,
            )
        for headers in HEADERS:
            yield "GET", _address(endpoint.path, needed), headers, None
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"):
            yield (
                method,
                _address(endpoint.path, {**needed, "organization_id": "beta"}),
                {},
                '{"organization_id":"beta"}',
            )
    for group in GROUPS:
        yield "GET", _address("/v1/usage", {"group_by": f"organization,{group}"}), {}, None
    for path, headers in itertools.product(PATHS, [{}, *HEADERS[:6]]):
        yield "GET", path, headers, None
    for statement in ("SELECT * FROM llm_traces", "SELECT 1", ""):
        yield "POST", "/v1/sql", {}, statement
        yield "POST", "/v1/sql?organization_id=alpha", {}, statement
    for body in ('{"organization_id":"beta"}', '{"organization_id":"alpha"}', "{}", "[]", ""):
        yield "POST", "/v1/erase?only_count=true", {}, body


def _values(endpoint: Endpoint, values: list[str]) -> Iterator[tuple[str, str]]:
    """Yield fields with values. A field that routes share is the same condition in each of them: the routes share
    its values out, so that each value is tried at one of them or more, and each route with several."""
    for field in fields(endpoint.question):
        sharing = [one.path for one in ENDPOINTS if field in fields(one.question)]
        place, step = sharing.index(endpoint.path), min(len(sharing), SHARED_OUT)
        yield from ((field, value) for value in values[place % step :: step])
        yield field, MARK


def _address(path: str, parameters: Mapping[str, str]) -> str:
    return f"{path}?{urlencode({name: value.encode(errors='surrogatepass') for name, value in parameters.items()})}"


def _rows() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for organization, mark in (("alpha", "alphas-own"), ("beta", MARK)):
        for number in range(5):
            texts: dict[str, object] = {name: f"{mark}-{name}" for name in TEXTS}
            payload = json.dumps({"messages": [{"role": "user", "content": mark}]}).encode()
            rows.append({**texts, "id": f"{mark}-id" if not number else f"{mark}-{number}", "organization_id": organization,
                         "request_json": payload, "response_json": payload, "request_size_bytes": 2_000_000, **_facts(mark, number)})  # fmt: skip
    return rows


def _facts(mark: str, number: int) -> dict[str, object]:
    """Columns of tools, attempts and caches. Hashes are the same in both organizations, which they never are."""
    parts = json.dumps([[[f"{mark}-tool", "00000001", 9]], 0, 0, "", 0, "", "", "", 0]).encode()
    return {
        "tool_calls": [(7, f"{mark}-call", f"{mark}-tool", 5, 10)], "tool_results": [(7, 20, 2)] if number else [],
        "tokens_by_tool": {f"{mark}-tool": 40}, "request_hash": 3, "is_error": int(number < 2), "attempt": number,
        "turn_hash": 11 + number, "parent_turn_hash": 10 + number if number else 0, "history_hash": 1, "prefix_hash": 2,
        "parent_history_hash": 1, "tools_hash": 1 + number, "prompt_tokens": 6000, "cached_input_tokens": 0,
        "cache_left_state": "exact", "cache_left_tokens": 5000, "cache_gap": 5000, "tools_tokens": 6000,
        "prompt_parts": parts, "cache_diagnostics": mark.encode(),
    }  # fmt: skip
