"""gRPC receiver of OTLP: traces and logs into the spool, metrics answered and dropped.

Invariants:
- OK means synced, as 200 does over HTTP. RESOURCE_EXHAUSTED and UNAVAILABLE with RetryInfo are every other outcome that a
  repeat can change; a message that is too large is RESOURCE_EXHAUSTED without RetryInfo, which exporters do not repeat.
- A message is received after its sender was authenticated and admitted, and few messages are received at a time, so that
  memory is bounded. Methods are declared as streams, which on the wire a single message is, to receive it when we ask.
- Messages are inflated within the limit, as bodies over HTTP are.

Source: OTLP specification 1.x, "OTLP/gRPC Response", "Failures", "OTLP/gRPC Throttling"; gRPC over HTTP/2, "Responses";
``google/rpc/error_details.proto``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc
import structlog

from llmledgerd.config.otlp_addresses import grpc_address
from llmledgerd.errors import ConfigError
from llmledgerd.otlp import protobuf
from llmledgerd.otlp.access import Denied
from llmledgerd.otlp.inflate import Body, TooLarge
from llmledgerd.otlp.intake import LARGEST_BODY, Busy, Full, Intake
from llmledgerd.otlp.listening import is_local
from llmledgerd.otlp.signals import Unreadable

log = structlog.get_logger(__name__)

SERVICES: Final = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
MESSAGES_AT_ONCE: Final = 4
"""Messages that are received at the same time: gRPC says how large one is after it is there."""
REQUESTS_AT_ONCE: Final = 256
READ_SECONDS: Final = 30.0
"""Time in which a message has to arrive."""
STOP_SECONDS: Final = 1.0
GZIP_MAGIC: Final = b"\x1f\x8b"
"""First bytes of gzip; no message of OTLP begins with them."""
DETAILS: Final = "grpc-status-details-bin"
RETRY_INFO: Final = b"type.googleapis.com/google.rpc.RetryInfo"
OPTIONS: Final = (
    ("grpc.max_receive_message_length", LARGEST_BODY),
    ("grpc.per_message_decompression", 0),  # gRPC inflates without a limit
    ("grpc.so_reuseport", 0),  # a second daemon is refused, and does not take half of the connections
    ("grpc.max_metadata_size", 16 << 10),
)


class GrpcReceiver:
    """OTLP's services on one address."""

    def __init__(self, intake: Intake, address: str) -> None:
        self._intake = intake
        self._address = grpc_address(address)
        self._is_local = is_local(address)
        self._server: Any = None
        self._receiving = asyncio.Semaphore(MESSAGES_AT_ONCE)

    async def start(self, mode: int, group: str, connections: int) -> None:
        """Listen. Raises ConfigError."""
        self._server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=REQUESTS_AT_ONCE)
        handlers = [
            grpc.method_handlers_generic_handler(
                service, {"Export": grpc.stream_unary_rpc_method_handler(self._handler(signal))}
            )
            for signal, service in SERVICES.items()
        ]
        self._server.add_generic_rpc_handlers(handlers)
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise ConfigError(f"otlp: `{self._address}`: cannot listen: {error}") from None
        await self._server.start()
        if not self._is_local:
            log.warning("OTLP is received on a non-loopback address without TLS", host=self._address)
        log.info("OTLP is received over gRPC", address=self._address)

    def stop_accepting(self) -> None:
        """Do nothing: requests are refused by the intake until ``close``."""

    async def close(self) -> None:
        """Close everything."""
        if self._server is not None:
            await self._server.stop(STOP_SECONDS)

    def _handler(self, signal: str) -> Callable[[AsyncIterator[bytes], Any], Any]:
        async def export(messages: AsyncIterator[bytes], context: Any) -> bytes:
            self._intake.begin()
            status = "CANCELLED"
            try:
                answer = await self._answer(signal, messages, context)
                status = "OK"
            except Refusal as refusal:
                status = refusal.code.name
                if refusal.may_repeat:
                    details = retry_details(refusal.code.value[0], str(refusal))
                    context.set_trailing_metadata(((DETAILS, details),))
                await context.abort(refusal.code, str(refusal))
            finally:
                self._intake.end(context, f"{signal} {status}")
            return answer

        return export

    async def _answer(self, signal: str, messages: AsyncIterator[bytes], context: Any) -> bytes:
        """Return the answer to a request. Raises Refusal."""
        intake, codes = self._intake, grpc.StatusCode
        try:
            sent = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
            access = intake.gate.access(
                {"Authorization": sent.get("authorization", "")}, is_local=self._is_local
            )
            if signal == "metrics":
                await self._received(messages)
                intake.drop_metrics()
                return protobuf.metrics_answer()
            intake.check_ready()
            await intake.admitted(context)
            body = await self._received(messages)
            intake.holds(context, len(body))
            return await intake.take(signal, protobuf, body, access, context)
        except Denied as error:
            code = codes.UNAUTHENTICATED if error.status == 401 else codes.PERMISSION_DENIED
            raise Refusal(code, str(error)) from None
        except Unreadable as error:
            raise Refusal(codes.INVALID_ARGUMENT, str(error)[:500]) from None
        except TooLarge:
            raise Refusal(
                codes.RESOURCE_EXHAUSTED, f"the message is larger than {LARGEST_BODY} bytes"
            ) from None
        except (Busy, TimeoutError, OSError) as error:
            intake.recurring.warn("OTLP request refused for now", reason=str(error) or type(error).__name__)
            code = codes.RESOURCE_EXHAUSTED if isinstance(error, Full) else codes.UNAVAILABLE
            raise Refusal(code, str(error) or "timeout", may_repeat=True) from None
        except Exception as error:  # noqa: BLE001 - outermost handler: gRPC would quote it to the sender
            intake.recurring.error("OTLP request failed", exc_info=error)
            raise Refusal(codes.INTERNAL, "internal error; see the daemon's log") from None

    async def _received(self, messages: AsyncIterator[bytes]) -> bytes | bytearray:
        """Return the message, inflated. Raises TooLarge, Unreadable and TimeoutError."""
        async with self._receiving, asyncio.timeout(READ_SECONDS):
            message = await anext(messages, b"")
        if not message.startswith(GZIP_MAGIC):
            return message
        body = Body("gzip", LARGEST_BODY)
        body.feed(message)
        return body.end()


class Refusal(Exception):
    """A request that is not taken, and the status that says so."""

    def __init__(self, code: Any, message: str, *, may_repeat: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.may_repeat = may_repeat


def retry_details(code: int, message: str) -> bytes:
    """Return a ``google.rpc.Status`` with RetryInfo: the request may come again after a second."""
    delay = _field(1, b"\x08\x01")  # Duration.seconds = 1
    info = _field(1, RETRY_INFO) + _field(2, delay)
    return bytes((0x08, code)) + protobuf.status(message) + _field(3, info)


def _field(number: int, body: bytes) -> bytes:
    """Return a field with bytes, of fewer than 128."""
    return bytes((number << 3 | 2, len(body))) + body
