"""Listeners: sockets and TLS on one side, requests and replies on the other; faults and the journal in between."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from multidict import CIMultiDict

from sandbox.cloud.faults import Fault, Faults
from sandbox.cloud.journal import Entry, Journal
from sandbox.cloud.transport.message import Reply, Request
from sandbox.cloud.variants import Variants

__all__ = ["RequestPipeline", "Service", "serve"]


class Service(Protocol):
    """A simulated service, or the control interface."""

    name: str

    async def handle(self, request: Request) -> Reply:
        """Answer a request."""
        ...


@dataclass(slots=True)
class RequestPipeline:
    """Request processing in front of every simulated service: faults and the journal.

    Attributes:
        run_due: runs due timers before a request is handled.
        wall: returns the current wall time.
        variants: returns the chosen variants.
        identify: returns the principal of an Authorization header, for faults that match by principal.
    """

    journal: Journal
    faults: Faults
    run_due: Callable[[], object]
    wall: Callable[[], float]
    identify: Callable[[str | None], str | None]
    variants: Callable[[], Variants]

    async def process(self, service: Service, request: Request) -> Reply | None:
        """Apply faults, call the service and record the request; None means a closed connection."""
        self.run_due()
        fault = None
        if self.faults:
            fault = self.faults.match(request, self.identify(request.headers.get("Authorization")))
        if fault is None:
            reply: Reply | None = await _answer(service, request)
        else:
            reply = await self._process_with_fault(service, request, fault)
        self._record(request, reply, fault)
        return reply

    async def _process_with_fault(self, service: Service, request: Request, fault: Fault) -> Reply | None:
        request.fault = fault
        request.principal = self.identify(request.headers.get("Authorization"))
        if fault.delay:
            await asyncio.sleep(fault.delay)
            self.run_due()
        if fault.cut == "before":
            return None
        reply = fault.reply(request, self.wall(), self.variants())
        if reply is None:
            reply = await _answer(service, request)
            reply.headers.update(fault.headers)
        return None if fault.cut == "after" else reply

    def _record(self, request: Request, reply: Reply | None, fault: Fault | None) -> None:
        self.journal.append(
            Entry(
                0,
                self.wall(),
                request.service,
                request.method,
                request.path,
                request.operation,
                request.principal,
                0 if reply is None else reply.status,
                request.effects,
                request.codes,
                request.headers.get("x-ms-client-request-id"),
                None if fault is None else fault.id,
            )
        )


async def _answer(service: Service, request: Request) -> Reply:
    """Return the service's response. An exception in it is printed to standard error and answered with 500."""
    try:
        return await service.handle(request)
    except Exception:  # noqa: BLE001 - the last line before the socket
        traceback.print_exc(file=sys.stderr)
        return Reply(500, b'{"error":{"code":"SandboxBug","message":"The sandbox itself failed; see its log."}}')


def serve(service: Service, scheme: str, pipeline: RequestPipeline | None) -> web.Server:
    """Return a server for one service; without a pipeline (control interface) faults and journal do not apply."""

    async def handler(incoming: web.BaseRequest) -> web.StreamResponse:
        request = await _read_request(service.name, scheme, incoming)
        if pipeline is None:
            reply: Reply | None = await _answer(service, request)
        else:
            reply = await pipeline.process(service, request)
        if reply is None:
            # Abort, not close: the client sees a reset connection without a response.
            if incoming.transport is not None:
                incoming.transport.abort()
            raise asyncio.CancelledError
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    return web.Server(handler, access_log=None)


async def _read_request(service: str, scheme: str, incoming: web.BaseRequest) -> Request:
    path, _, query = incoming.raw_path.partition("?")
    headers: Mapping[str, str] = incoming.headers
    if not all(text.isascii() for text in headers.values()):
        # aiohttp decodes bytes that are not UTF-8 to lone surrogates, which no service can send or record.
        headers = CIMultiDict((name, text.encode("utf-8", "replace").decode()) for name, text in headers.items())
    return Request(
        service=service,
        base=f"{scheme}://{incoming.headers.get('Host', 'localhost')}",
        method=incoming.method,
        path=unquote(path),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        body=await incoming.read() if incoming.body_exists else b"",
    )
