"""The device code on a page; the command line asks for the same as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from defender_devops.errors import OperatorError
from defender_devops.signin.pages.device_flow import DevicePrompt, DeviceSignIns
from defender_devops.signin.pages.page_context import Desk

__all__ = ["DevicePages"]

_PATIENCE: Final = 8.0
"""Seconds that "I have signed in" waits for Entra ID to say so too."""


@dataclass(frozen=True)
class DevicePages:
    """Handlers.

    Args:
        desk: connectors and templates.
        device: sign-ins by device code.
    """

    desk: Desk
    device: DeviceSignIns

    async def start(self, request: web.Request) -> web.Response:
        """Ask for a device code."""
        connector = self.desk.connector(request)
        try:
            prompt = await self.device.start(connector)
        except OperatorError as error:
            if _wants_json(request):
                return _json({"state": "failed", "error": str(error.reason), "message": error.message}, status=409)
            return self.desk.message(connector, "There is no device code", error.message, status=409)
        return _json(_described(prompt)) if _wants_json(request) else self.desk.see(connector, "device")

    async def show(self, request: web.Request) -> web.Response:
        """The device code, or what came of it."""
        connector = self.desk.connector(request)
        prompt = self.device.prompt(connector.metadata.uid)
        if prompt and "finished" in request.query:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await prompt.done.wait()
        if _wants_json(request):
            return _json(_described(prompt)) if prompt else _json({"state": "none"}, status=404)
        if prompt and not prompt.is_pending and prompt.failure is None:
            return self.desk.see(connector, "result")
        safe = prompt is not None and prompt.verification_uri.startswith("https://")
        return self.desk.render(
            "device.html", connector, prompt=prompt, is_safe_address=safe, asked="finished" in request.query
        )


def _wants_json(request: web.Request) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _described(prompt: DevicePrompt) -> dict[str, str]:
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
