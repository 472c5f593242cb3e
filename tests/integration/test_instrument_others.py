"""Others who patch the same methods: whoever came first, every call works, and who is off sees nothing."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any
from unittest import mock

import aiohttp
import httpx
import httpx2
import pytest
import urllib3

import llmledger
from llmledger.instrumentation.safety import faults
from tests.helpers import ways
from tests.helpers.captured import Captured
from tests.helpers.providers import Providers

PATH = "/v1/chat/completions"

PLACES: dict[str, tuple[type, str, ways.Call]] = {
    "httpx": (httpx.Client, "_send_single_request", ways.by_httpx),
    "httpx async": (httpx.AsyncClient, "_send_single_request", ways.by_async_httpx),
    "httpx2": (httpx2.Client, "_send_single_request", ways.by_httpx2),
    "httpx2 async": (httpx2.AsyncClient, "_send_single_request", ways.by_async_httpx2),
    "aiohttp": (aiohttp.ClientSession, "_request", ways.by_aiohttp),
    "aiohttp request": (aiohttp.ClientRequest, "__init__", ways.by_aiohttp),
    "urllib3": (urllib3.connectionpool.HTTPConnectionPool, "_make_request", ways.by_urllib3),
}


class Theirs:
    """Somebody else's patch of a method: on, off, and how often it was passed."""

    def __init__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name
        self.calls = 0

    def passed(self, instance: object) -> None:
        assert isinstance(instance, self.owner), f"called without its instance: {instance!r}"
        self.calls += 1

    def on(self) -> None:
        raise NotImplementedError

    def off(self) -> None:
        """As ddtrace and OpenTelemetry take theirs off: whatever is there, what it wraps is put back."""
        setattr(self.owner, self.name, getattr(self.owner, self.name).__wrapped__)


class ByWrapt(Theirs):
    """ddtrace's and OpenTelemetry's way."""

    def on(self) -> None:
        wrapt = pytest.importorskip("wrapt")

        def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            self.passed(instance)
            return wrapped(*args, **kwargs)

        wrapt.wrap_function_wrapper(self.owner, self.name, wrapper)


class _Descriptor:
    """What wrapt's wrapper is in essence: a callable that learns its instance by being bound."""

    def __init__(self, wrapped: Any, passed: Callable[[object], None], instance: object = None) -> None:
        self.__wrapped__ = wrapped
        self._passed = passed
        self._instance = instance

    def __get__(self, instance: object, owner: type | None = None) -> _Descriptor:
        return _Descriptor(self.__wrapped__.__get__(instance, owner), self._passed, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._passed(self._instance)
        return self.__wrapped__(*args, **kwargs)


class ByDescriptor(Theirs):
    """The same without wrapt."""

    def on(self) -> None:
        setattr(self.owner, self.name, _Descriptor(self.owner.__dict__[self.name], self.passed))


class ByFunction(Theirs):
    """Sentry's way: a function in place of the function."""

    def on(self) -> None:
        original = getattr(self.owner, self.name)

        @functools.wraps(original)
        def theirs(instance: Any, *args: Any, **kwargs: Any) -> Any:
            self.passed(instance)
            return original(instance, *args, **kwargs)

        setattr(self.owner, self.name, theirs)


class ByPartialMethod(Theirs):
    """With an argument bound beside the instance."""

    def on(self) -> None:
        def theirs(instance: Any, original: Any, *args: Any, **kwargs: Any) -> Any:
            self.passed(instance)
            return original(instance, *args, **kwargs)

        self._original = getattr(self.owner, self.name)
        setattr(self.owner, self.name, functools.partialmethod(theirs, self._original))

    def off(self) -> None:
        setattr(self.owner, self.name, self._original)


class ByAutospec(Theirs):
    """A test's way."""

    def on(self) -> None:
        original = getattr(self.owner, self.name)

        def theirs(instance: Any, *args: Any, **kwargs: Any) -> Any:
            self.passed(instance)
            return original(instance, *args, **kwargs)

        async def theirs_async(instance: Any, *args: Any, **kwargs: Any) -> Any:
            return await theirs(instance, *args, **kwargs)

        effect = theirs_async if inspect.iscoroutinefunction(original) else theirs
        self._patch = mock.patch.object(self.owner, self.name, autospec=True, side_effect=effect)
        self._patch.start()

    def off(self) -> None:
        self._patch.stop()


KINDS = [ByWrapt, ByDescriptor, ByFunction, ByPartialMethod, ByAutospec]


class Scene:
    """One method, somebody who patches it, a call through it, and what we record of it."""

    def __init__(self, place: str, kind: type[Theirs], providers: Providers) -> None:
        self.owner, self.name, self._call = PLACES[place]
        self.theirs = kind(self.owner, self.name)
        self.client = Captured()
        self._providers = providers

    @property
    def attribute(self) -> Any:
        return self.owner.__dict__[self.name]

    def instrument(self) -> None:
        llmledger.instrument(hosts=[self._providers.host], client=self.client)

    async def call(self) -> tuple[int, int]:
        """Make a call; return how often they and we saw it."""
        theirs, ours = self.theirs.calls, len(self.client.records())
        status, _ = await self._call(self._providers.url + PATH, {"model": "m"})
        assert status == 200
        return self.theirs.calls - theirs, len(self.client.records()) - ours


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    with Providers() as running:
        yield running


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[Theirs]:
    found: type[Theirs] = request.param
    return found


@pytest.fixture(params=PLACES)
def scene(request: pytest.FixtureRequest, kind: type[Theirs], providers: Providers) -> Iterator[Scene]:
    made = Scene(request.param, kind, providers)
    before = made.attribute
    yield made
    llmledger.uninstrument()
    setattr(made.owner, made.name, before)
    found = dict(faults)
    faults.clear()
    assert not found


async def test_who_patched_before_us_is_called_as_without_us(scene: Scene) -> None:
    before = scene.attribute
    scene.theirs.on()
    patched = scene.attribute
    scene.instrument()
    assert await scene.call() == (1, 1)
    llmledger.uninstrument()
    assert scene.attribute is patched
    assert await scene.call() == (1, 0)
    scene.theirs.off()
    assert scene.attribute is before
    assert await scene.call() == (0, 0)


async def test_who_patched_over_us_goes_on_when_we_are_off(scene: Scene) -> None:
    scene.instrument()
    scene.theirs.on()
    assert await scene.call() == (1, 1)
    patched = scene.attribute
    llmledger.uninstrument()
    assert scene.attribute is patched
    assert await scene.call() == (1, 0)
    scene.theirs.off()
    assert await scene.call() == (0, 0)


async def test_who_patched_over_us_and_went_leaves_us_as_we_were(scene: Scene) -> None:
    before = scene.attribute
    scene.instrument()
    scene.theirs.on()
    scene.theirs.off()
    assert await scene.call() == (0, 1)
    llmledger.uninstrument()
    assert scene.attribute is before


async def test_who_patched_before_us_and_goes_first_breaks_nothing(scene: Scene) -> None:
    scene.theirs.on()
    scene.instrument()
    scene.theirs.off()
    await scene.call()
    llmledger.uninstrument()
    assert (await scene.call())[1] == 0


async def test_switched_on_again_under_and_over_somebody_it_records_once(scene: Scene) -> None:
    scene.instrument()
    scene.theirs.on()
    scene.instrument()
    scene.instrument()
    assert (await scene.call())[1] == 1
    llmledger.uninstrument()
    assert (await scene.call())[1] == 0


def test_a_mock_that_is_no_descriptor_is_bound_to_nothing(providers: Providers) -> None:
    client = Captured()
    answer = httpx.Response(200, json={}, stream=None)
    with mock.patch.object(httpx.Client, "_send_single_request", return_value=answer) as theirs:
        llmledger.instrument(hosts=[providers.host], client=client)
        try:
            assert httpx.post(providers.url + PATH, json={"model": "m"}).status_code == 200
        finally:
            llmledger.uninstrument()
    ((request,), _) = theirs.call_args
    assert request.method == "POST"
    assert len(client.records()) == 1


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_subclass_that_overrides_and_a_patched_instance_are_called_as_ever(
    library: Any, providers: Providers
) -> None:
    client = Captured()
    seen = []

    class Own(library.Client):  # type: ignore[misc]  # the base is a parameter
        def _send_single_request(self, request: Any) -> Any:
            seen.append("subclass")
            return super()._send_single_request(request)

    llmledger.instrument(hosts=[providers.host], client=client)
    try:
        with Own() as session:
            below = session._send_single_request

            def theirs(_: Any, request: Any) -> Any:
                seen.append("instance")
                return below(request)

            session._send_single_request = MethodType(theirs, session)
            assert session.post(providers.url + PATH, json={"model": "m"}).status_code == 200
    finally:
        llmledger.uninstrument()
    assert seen == ["instance", "subclass"]
    assert len(client.records()) == 1


def test_a_class_that_stands_in_for_the_librarys_is_hooked_where_the_method_is(
    providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StandIn(httpx.Client):
        """Inherits the method."""

    before = httpx.Client.__dict__["_send_single_request"]
    monkeypatch.setattr(httpx, "Client", StandIn)
    client = Captured()
    llmledger.instrument(hosts=[providers.host], client=client)
    try:
        with StandIn() as session:
            session.post(providers.url + PATH, json={"model": "m"})
    finally:
        llmledger.uninstrument()
    assert "_send_single_request" not in StandIn.__dict__
    assert StandIn.__mro__[1].__dict__["_send_single_request"] is before
    assert len(client.records()) == 1


def test_a_later_version_may_take_more_arguments(
    providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = httpx.Client._send_single_request

    def newer(self: Any, request: Any, *, trace: bool = False) -> Any:
        assert trace
        return original(self, request)

    monkeypatch.setattr(httpx.Client, "_send_single_request", newer)
    client = Captured()
    llmledger.instrument(hosts=[providers.host], client=client)
    try:
        with httpx.Client() as session:
            request = session.build_request("POST", providers.url + PATH, json={"model": "m"})
            session._send_single_request(request=request, trace=True).close()  # type: ignore[call-arg]  # the later version's
    finally:
        llmledger.uninstrument()
    assert len(client.records()) == 1


async def test_a_request_made_within_an_exchange_is_not_taken_for_its_own(providers: Providers) -> None:
    """As a token is refreshed, with a secret in its body, before the call itself is sent."""
    client = Captured()

    async def refresh(session: Any, context: Any, params: Any) -> None:
        async with aiohttp.ClientSession() as other:
            await other.post(providers.url + "/oauth/token", data=b'{"client_secret": "CANARY"}')

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(refresh)
    trace.on_request_end.append(refresh)
    llmledger.instrument(hosts=[providers.host], client=client)
    try:
        async with aiohttp.ClientSession(trace_configs=[trace]) as session:
            await (await session.post(providers.url + PATH, json={"model": "m"})).read()
    finally:
        llmledger.uninstrument()
    assert client.record_of()["request"] == b'{"model": "m"}'


async def test_the_content_of_an_answer_is_still_a_stream_reader(providers: Providers) -> None:
    llmledger.instrument(hosts=[providers.host], client=Captured())
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(providers.url + PATH, json={"model": "m"}) as answer,
        ):
            assert isinstance(answer.content, aiohttp.StreamReader)
    finally:
        llmledger.uninstrument()
