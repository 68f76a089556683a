"""`authorize`: the page on which a person signs in or hands a code over, opened in a browser or printed."""

from __future__ import annotations

import asyncio
import os
import sys
import webbrowser
from typing import Final
from urllib.parse import urlsplit

from defender_devops.api.connector import AuthorizationMethod, AzureDevOpsConnector, InvalidManifest, parse_connector
from defender_devops.cli.cluster_access import open_cluster
from defender_devops.cli.cluster_target import Target
from defender_devops.cli.exit_codes import CommandFailed, ExitCode

__all__ = ["authorize", "page_of"]

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


async def authorize(target: Target, name: str, *, only_print: bool) -> ExitCode:
    """Open the connector's page, or print its address.

    Raises:
        OperatorError: the connector cannot be read.
        CommandFailed: there is no such connector, or no page; the message says where to authorize instead.
    """
    async with open_cluster(target) as cluster:
        body = await cluster.find(name)
    try:
        connector = parse_connector(body)
    except InvalidManifest as error:
        raise CommandFailed(f"The connector cannot be used as it stands: {error.message}", ExitCode.NOT_OK) from None
    page = page_of(connector)
    if only_print or not _has_screen():
        sys.stdout.write(f"{page}\n")
        return ExitCode.OK
    account = connector.spec.authorizing_account
    sys.stdout.write(f"Opening {page}\n{f'Sign in as {account}.' if account else 'Sign in there.'}\n")
    if not await asyncio.to_thread(webbrowser.open, page):
        raise CommandFailed("No browser could be started: open the address yourself.", ExitCode.NOT_OK)
    return ExitCode.OK


def page_of(connector: AzureDevOpsConnector) -> str:
    """The address of a connector's page.

    Raises:
        CommandFailed: it has none, or one that no browser should be sent to.
    """
    page = connector.status.sign_in.url if connector.status.sign_in else None
    if page is None:
        raise CommandFailed(_without_page(connector), ExitCode.NOT_OK)
    parts = urlsplit(page)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not safe:  # whoever may write a status must not make a browser open what they like
        raise CommandFailed(f"status.signIn.url is no https address, so it is not opened: {page}", ExitCode.NOT_OK)
    return page


def _without_page(connector: AzureDevOpsConnector) -> str:
    """Where to authorize a connector that has no page."""
    spec, name = connector.spec, connector.metadata.name
    if spec.sign_in is not None:
        return (
            f"{name} has no sign-in page yet: the operator has not looked at it, or was installed without an address "
            "for its pages (the chart's signIn values)."
        )
    account = f" as {spec.authorizing_account}" if spec.authorizing_account else ""
    reference = spec.authorization.code_secret_ref
    if spec.authorization.method is AuthorizationMethod.CODE and reference is not None:
        return (
            f"{name} has no spec.signIn, so it has no page: put a one-time code of Defender's authorization dialog "
            f"into key {reference.key} of Secret {reference.name}."
        )
    return (
        f"{name} has no spec.signIn, so it has no page: authorize connector {connector.connector_name} in the portal, "
        f"in the environment settings of Defender for Cloud{account}."
    )


def _has_screen() -> bool:
    """Whether a browser would open a window, and not take the terminal over, or a pipe's reader by surprise."""
    if not sys.stdout.isatty():
        return False
    graphical = sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(graphical)
