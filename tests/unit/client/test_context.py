"""Contexts: who wins, who sees them, and that leaving one in the wrong place harms nobody."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from llmledger import BillingContext, context
from llmledger.context import current, filled
from llmledger.fields import CallFields


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with what is encoded already decoded."""
    return {
        name: msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
        for name, value in fields.items()
    }


def test_outside_of_any_context_nothing_is_filled() -> None:
    assert current() == {}


def test_an_inner_context_wins_field_by_field() -> None:
    with context(org_id="acme", agent_id="outer", tags=["a", "b"]):
        with context(agent_id="inner", tags=["c"]):
            assert plain(current()) == {"org_id": "acme", "agent_id": "inner", "tags": ["c"]}
        assert plain(current()) == {"org_id": "acme", "agent_id": "outer", "tags": ["a", "b"]}
    assert current() == {}


def test_what_a_record_gives_itself_wins_and_none_gives_nothing() -> None:
    with context(org_id="acme", run_id="run-1"):
        assert filled({"org_id": "other", "run_id": None}) == {"org_id": "other", "run_id": "run-1"}


def test_the_call_type_goes_by_the_name_of_the_wire() -> None:
    with context(call_type="summarization"):
        assert current() == {"type": "summarization"}


def test_every_field_is_one_of_a_call() -> None:
    everything: dict[str, Any] = dict.fromkeys(
        ("org_id", "project_id", "user_id", "agent_id", "run_id", "step_id", "trace_id", "span_id", "source"),
        "x",
    )
    with context(**everything, tags=[], billing={"plan_type": "max"}, is_byok=False, call_type="t"):
        assert current().keys() <= CallFields.__annotations__.keys()
        assert len(current()) == len(everything) + 4


def test_what_is_changed_after_entering_changes_nothing() -> None:
    tags = ["a"]
    with context(tags=tags):
        tags.append("b")
        assert plain(current()) == {"tags": ["a"]}


def test_billing_travels_as_what_is_known_of_it() -> None:
    with context(billing=BillingContext(plan_type="max", customer_id="c-1")):
        assert plain(current()) == {"billing": {"plan_type": "max", "customer_id": "c-1"}}


def test_an_exception_leaves_the_context() -> None:
    with pytest.raises(KeyError), context(org_id="acme"):
        raise KeyError
    assert current() == {}


async def test_async_with_does_the_same() -> None:
    async with context(org_id="acme"):
        await asyncio.sleep(0)
        assert current() == {"org_id": "acme"}
    assert current() == {}


async def test_a_task_keeps_the_context_in_which_it_was_made() -> None:
    gate = asyncio.Event()

    async def work() -> dict[str, Any]:
        await gate.wait()
        return current()

    tasks = []
    for number in range(3):
        with context(run_id=str(number)):
            tasks.append(asyncio.create_task(work()))
    gate.set()
    assert [fields["run_id"] for fields in await asyncio.gather(*tasks)] == ["0", "1", "2"]


async def test_one_object_serves_many_tasks_at_once() -> None:
    shared = context(org_id="acme")

    @shared
    async def work(run: str) -> dict[str, Any]:
        with context(run_id=run), shared:
            await asyncio.sleep(0)
            return current()

    found = await asyncio.gather(*(work(str(number)) for number in range(10)))
    assert found == [{"org_id": "acme", "run_id": str(number)} for number in range(10)]
    assert current() == {}


def test_a_thread_sees_a_context_that_was_copied_for_it_and_no_other() -> None:
    seen: list[dict[str, Any]] = []
    with context(org_id="acme"):
        copied = contextvars.copy_context()
    for target in (lambda: seen.append(current()), lambda: copied.run(lambda: seen.append(current()))):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert seen == [{}, {"org_id": "acme"}]


def test_a_decorated_function_runs_inside_and_keeps_its_name() -> None:
    @context(agent_id="a")
    def work(number: int) -> tuple[int, dict[str, Any]]:
        """Work."""
        return number, current()

    assert work(3) == (3, {"agent_id": "a"})
    assert (work.__name__, work.__doc__) == ("work", "Work.")


async def test_a_decorated_coroutine_runs_inside() -> None:
    @context(agent_id="a")
    async def work() -> dict[str, Any]:
        await asyncio.sleep(0)
        return current()

    assert await work() == {"agent_id": "a"}


def test_a_decorated_generator_is_inside_and_its_consumer_is_not() -> None:
    @context(agent_id="a")
    def work() -> Iterator[Any]:
        try:
            sent = yield current()
            yield (sent, current())
        except KeyError:
            yield current()
        finally:
            left.append(current())

    left: list[Any] = []
    steps: Any = work()
    assert next(steps) == {"agent_id": "a"}
    assert current() == {}
    assert steps.send("sent") == ("sent", {"agent_id": "a"})
    assert steps.throw(KeyError()) == {"agent_id": "a"}
    steps.close()
    assert left == [{"agent_id": "a"}]


def test_a_decorated_generator_returns_what_the_inner_one_does() -> None:
    @context(agent_id="a")
    def inner() -> Any:
        yield 1
        return 2

    def outer() -> Any:
        return (yield from inner())

    steps = outer()
    next(steps)
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == 2


async def test_a_decorated_async_generator_is_inside_and_its_consumer_is_not() -> None:
    @context(agent_id="a")
    async def work() -> AsyncIterator[Any]:
        try:
            sent = yield current()
            yield (sent, current())
        except KeyError:
            yield current()
        finally:
            left.append(current())

    left: list[Any] = []
    steps: Any = work()
    assert await anext(steps) == {"agent_id": "a"}
    assert current() == {}
    assert await steps.asend("sent") == ("sent", {"agent_id": "a"})
    assert await steps.athrow(KeyError()) == {"agent_id": "a"}
    await steps.aclose()
    assert left == [{"agent_id": "a"}]
    assert [step async for step in work()] == [{"agent_id": "a"}, (None, {"agent_id": "a"})]


def test_a_generator_closed_from_another_context_takes_nobody_elses_away() -> None:
    def work() -> Iterator[None]:
        with context(agent_id="generator"):
            yield

    steps: Any = contextvars.copy_context().run(lambda: (steps := work(), next(steps))[0])
    with context(agent_id="here"):
        steps.close()
        assert current() == {"agent_id": "here"}


class _Span:
    trace_id = 0x0123456789ABCDEF0123456789ABCDEF
    span_id = 0xFEDCBA98
    is_valid = True

    def get_span_context(self) -> _Span:
        return self


def test_an_active_span_gives_its_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("opentelemetry.trace")
    fake.get_current_span = _Span  # type: ignore[attr-defined]  # a stand-in for the real module
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", fake)
    assert current() == {"trace_id": "0123456789abcdef0123456789abcdef", "span_id": "00000000fedcba98"}
    assert filled({"trace_id": "mine"}) == {"trace_id": "mine"}
    with context(trace_id="ours"):
        assert current() == {"trace_id": "ours"}


def test_a_broken_opentelemetry_costs_the_span_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", types.ModuleType("opentelemetry.trace"))
    assert filled({"org_id": "acme"}) == {"org_id": "acme"}


def test_no_active_span_gives_nothing() -> None:
    pytest.importorskip("opentelemetry.trace")
    assert current() == {}


def test_a_real_span_gives_its_ids() -> None:
    sdk: Any = pytest.importorskip("opentelemetry.sdk.trace")
    with sdk.TracerProvider().get_tracer("tests").start_as_current_span("call") as span:
        assert current() == {
            "trace_id": f"{span.get_span_context().trace_id:032x}",
            "span_id": f"{span.get_span_context().span_id:016x}",
        }


def test_a_static_method_and_a_class_method_are_decorated_as_they_are() -> None:
    class Work:
        @context(agent_id="a")
        @staticmethod
        def static(number: int) -> tuple[int, dict[str, Any]]:
            return number, current()

        @context(agent_id="b")
        @classmethod
        def of_class(cls, number: int) -> tuple[type, int, dict[str, Any]]:
            return cls, number, current()

    assert Work().static(1) == (1, {"agent_id": "a"})
    assert Work().of_class(2) == (Work, 2, {"agent_id": "b"})
