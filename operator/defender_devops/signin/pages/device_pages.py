"""The device code on a page; the command line requests the same as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from defender_devops.errors import OperatorError
from defender_devops.signin.pages.device_flow import DevicePrompt, DeviceSignIns
from defender_devops.signin.pages.page_context import PageContext

__all__ = ["DevicePages"]

_FINISH_TIMEOUT: Final = 8.0
"""Seconds that "I have signed in" waits until Entra ID confirms it."""


@dataclass(frozen=True)
class DevicePages:
    """Handlers.

    Attributes:
        context: connectors and templates.
        sign_ins: device sign-ins.
    """

    context: PageContext
    sign_ins: DeviceSignIns

    async def start(self, request: web.Request) -> web.Response:
        """Request a device code."""
        connector = self.context.connector(request)
        try:
            prompt = await self.sign_ins.start(connector)
        except OperatorError as error:
            if _wants_json(request):
                return _json({"state": "failed", "error": str(error.reason), "message": error.message}, status=409)
            return self.context.message(connector, "No device code", error.message, status=409)
        return _json(_as_json(prompt)) if _wants_json(request) else self.context.redirect(connector, "device")

    async def show(self, request: web.Request) -> web.Response:
        """Show the device code, or the result of the sign-in."""
        connector = self.context.connector(request)
        prompt = self.sign_ins.prompt(connector.metadata.uid)
        if prompt and "finished" in request.query:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FINISH_TIMEOUT):
                    await prompt.finished.wait()
        if _wants_json(request):
            return _json(_as_json(prompt)) if prompt else _json({"state": "none"}, status=404)
        if prompt and not prompt.is_pending and prompt.failure is None:
            return self.context.redirect(connector, "result")
        # The address comes from Entra ID; anything but https (a javascript: address) must not become a link.
        is_https = prompt is not None and prompt.verification_uri.startswith("https://")
        return self.context.render_page(
            "device.html", connector, prompt=prompt, is_safe_address=is_https, is_late="finished" in request.query
        )


def _wants_json(request: web.Request) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _as_json(prompt: DevicePrompt) -> dict[str, str]:
    if prompt.is_pending:
        return {
            "state": "pending",
            "userCode": prompt.user_code,
            "verificationUri": prompt.verification_uri,
            "expiresAt": prompt.expires_at.isoformat(),
        }
    if prompt.failure:
        return {"state": "failed", "error": str(prompt.failure.reason), "message": prompt.failure.message}
    return {"state": "signedIn"}


def _json(body: dict[str, str], status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body), status=status, content_type="application/json")
