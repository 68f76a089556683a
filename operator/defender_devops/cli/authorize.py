"""`authorize`: open the page on which a person signs in or submits a code, or print its address."""

from __future__ import annotations

import asyncio
import os
import sys
import webbrowser
from typing import Final
from urllib.parse import urlsplit

from defender_devops.api.connector import AuthorizationMethod, AzureDevOpsConnector, InvalidManifest, parse_connector
from defender_devops.cli.cluster_access import open_cluster
from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from defender_devops.cli.output import print_text

__all__ = ["open_sign_in_page", "sign_in_page"]

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


async def open_sign_in_page(target: ClusterTarget, name: str, *, only_print: bool) -> ExitCode:
    """Open the sign-in page of a connector, or print its address.

    Raises:
        OperatorError: the connector cannot be read.
        CommandFailed: the connector or its page does not exist; the message says where to authorize instead.
    """
    async with open_cluster(target) as cluster:
        body = await cluster.find(name)
    try:
        connector = parse_connector(body)
    except InvalidManifest as error:
        raise CommandFailed(f"The connector has an invalid spec: {error.message}", ExitCode.NOT_OK) from None
    page = sign_in_page(connector)
    # Without a screen, webbrowser would start a text browser in this terminal, or write into a pipe.
    is_graphical = sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if only_print or not sys.stdout.isatty() or not is_graphical:
        print_text(page)
        return ExitCode.OK
    # The page accepts no other account, also where another one authorizes Defender.
    account = connector.spec.sign_in.account if connector.spec.sign_in is not None else None
    print_text(f"Opening {page}")
    print_text(f"Sign in as {account}." if account else "Sign in there.")
    if not await asyncio.to_thread(webbrowser.open, page):
        raise CommandFailed("No browser could be started: open the address in a browser.", ExitCode.NOT_OK)
    return ExitCode.OK


def sign_in_page(connector: AzureDevOpsConnector) -> str:
    """Return the address of a connector's sign-in page.

    Raises:
        CommandFailed: there is no page, or its address is not safe to open; the message says where to authorize.
    """
    page = connector.status.sign_in.url if connector.status.sign_in else None
    if page is not None:
        parts = urlsplit(page)
        is_secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        if is_secure and page.isprintable():
            return page
        # A person with write access to the status must not be able to open any address in somebody else's browser.
        raise CommandFailed(f"status.signIn.url is not an https address and is not opened: {page}", ExitCode.NOT_OK)
    spec, name = connector.spec, connector.metadata.name
    reference = spec.authorization.code_secret_ref
    if spec.sign_in is not None:
        message = (
            f"{name} has no sign-in page yet: the operator has not reconciled it, or was installed without an address "
            "for its pages (the chart's signIn values)."
        )
    elif spec.authorization.method is AuthorizationMethod.CODE and reference is not None:
        message = (
            f"{name} has no spec.signIn, so it has no page: put a one-time code from Defender's authorization dialog "
            f"into key {reference.key} of Secret {reference.name}."
        )
    else:
        account = f" as {spec.authorizing_account}" if spec.authorizing_account else ""
        message = (
            f"{name} has no spec.signIn, so it has no page: authorize connector {connector.connector_name} in the "
            f"portal, in the environment settings of Defender for Cloud{account}."
        )
    raise CommandFailed(message, ExitCode.NOT_OK)
