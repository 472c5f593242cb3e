"""Attribution of calls by context: organization, agent, run, billing.

Invariants:
- The context fills the fields that a record leaves out, and never overrides a given field.
- An inner context overrides an outer one, field by field; ``tags`` and ``billing`` are replaced whole.
- All state is in one context variable, so one ``context`` object may be entered again, by several
  tasks at once, and left in another context than it was entered in, without an error.

Tasks see the context in which they were created, threads the one that they were started with
(``asyncio.to_thread``, ``contextvars.copy_context().run``). A generator has no context of its own:
``with context(…)`` around a ``yield`` also affects the code that resumes it, so decorate the function.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar, cast
from uuid import UUID

from llmledger.encoding import freeze
from llmledger.fields import BillingFields
from llmledger.protocol import Billing

_P = ParamSpec("_P")
_T = TypeVar("_T")

BillingContext = Billing
"""Billing of the calls: ``plan_type``, ``cost_source``, ``customer_id``."""


class _Layer(NamedTuple):
    owner: context
    fields: Mapping[str, Any]
    below: _Layer | None


_top: ContextVar[_Layer | None] = ContextVar("llmledger_context", default=None)


class context:  # noqa: N801 - used like a function, as contextlib's own are
    """Attribute all calls within it: for ``with``, ``async with``, or as a decorator of any function.

    >>> with context(org_id="acme", agent_id="billing-bot"):
    ...     with context(run_id="run-7", tags=["nightly"]):
    ...         client.chat.completions.create(...)

    >>> @context(call_type="summarization")
    ... async def summarize(text): ...

    ``call_type`` is the wire's ``type``. A field that is None is inherited from the outer context. Raises
    nothing; invalid values are checked by the daemon.
    """

    def __init__(
        self,
        *,
        org_id: str | UUID | None = None,
        project_id: str | UUID | None = None,
        user_id: str | UUID | None = None,
        agent_id: str | UUID | None = None,
        run_id: str | UUID | None = None,
        step_id: str | UUID | None = None,
        tags: Sequence[str] | None = None,
        billing: BillingContext | BillingFields | None = None,
        call_type: str | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        is_byok: bool | None = None,
        source: str | None = None,
    ) -> None:
        fields = {
            "org_id": org_id,
            "project_id": project_id,
            "user_id": user_id,
            "agent_id": agent_id,
            "run_id": run_id,
            "step_id": step_id,
            "tags": tags,
            "billing": billing,
            "type": call_type,
            "trace_id": trace_id,
            "span_id": span_id,
            "is_byok": is_byok,
            "source": source,
        }
        self._fields = {name: value for name, value in fields.items() if value is not None}
        freeze(self._fields)

    def __enter__(self) -> Self:
        below = _top.get()
        fields = {**below.fields, **self._fields} if below is not None else self._fields
        _top.set(_Layer(self, fields, below))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        layer = _top.get()
        # Another context's layer is on top when a generator is closed from a different context.
        if layer is not None and layer.owner is self:
            _top.set(layer.below)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """Return the function wrapped so that only its own code runs in this context."""
        if isinstance(function, staticmethod | classmethod):
            return cast("Callable[_P, _T]", type(function)(self._wrapper(function.__func__)))
        return cast("Callable[_P, _T]", self._wrapper(function))

    def _wrapper(self, function: Callable[..., Any]) -> Callable[..., Any]:
        import inspect  # only for decorators; the import is expensive

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return run_coroutine
        if inspect.isasyncgenfunction(function):
            return functools.wraps(function)(
                lambda *args, **kwargs: self._drive_async(function(*args, **kwargs))
            )
        if inspect.isgeneratorfunction(function):
            return functools.wraps(function)(lambda *args, **kwargs: self._drive(function(*args, **kwargs)))

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return run

    def _drive(self, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Resume a generator step by step, each step inside the context; its consumer stays outside."""
        step: Callable[[], Any] = functools.partial(next, inner)
        while True:
            try:
                with self:
                    value = step()
            except StopIteration as stop:
                return stop.value
            try:
                step = functools.partial(inner.send, (yield value))
            except GeneratorExit:
                with self:
                    inner.close()
                raise
            except BaseException as error:  # noqa: BLE001 - handed on, not handled: the inner generator decides
                step = functools.partial(inner.throw, error)

    async def _drive_async(self, inner: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
        step: Callable[[], Any] = inner.__anext__
        while True:
            try:
                with self:
                    value = await step()
            except StopAsyncIteration:
                return
            try:
                step = functools.partial(inner.asend, (yield value))
            except GeneratorExit:
                with self:
                    await inner.aclose()
                raise
            except BaseException as error:  # noqa: BLE001 - handed on, not handled: the inner generator decides
                step = functools.partial(inner.athrow, error)


def current() -> dict[str, Any]:
    """Return a new dict of the context's fields, including those of an active OpenTelemetry span."""
    return filled({})


def filled(fields: Any) -> dict[str, Any]:
    """Fill the fields that are absent or None from the context, in place, and return the dict."""
    layer = _top.get()
    if layer is not None:
        for name, value in layer.fields.items():
            if fields.get(name) is None:
                fields[name] = value
    if "opentelemetry.trace" in sys.modules and fields.get("trace_id") is None:
        _fill_from_span(fields)
    own: dict[str, Any] = fields  # no ``cast``, which costs a call
    return own


def _fill_from_span(fields: dict[str, Any]) -> None:
    """Copy the ids of the active span, in the hexadecimal form of W3C Trace Context, section 3.2.2."""
    try:
        span = sys.modules["opentelemetry.trace"].get_current_span().get_span_context()
        if span.is_valid:
            fields["trace_id"] = f"{span.trace_id:032x}"
            fields["span_id"] = f"{span.span_id:016x}"
    except Exception:  # noqa: BLE001, S110 - another library's code; a record is valid without a span
        pass
