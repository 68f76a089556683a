"""The connections of azure-identity: with the project's proxy and certificate authorities instead of aiohttp's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from defender_devops.http_client import open_session
from defender_devops.proxies import check_proxy_variables, proxy_for

if TYPE_CHECKING:
    import aiohttp
    from azure.core.pipeline.transport import AioHttpTransport

__all__ = ["identity_transport"]


def identity_transport(**options: Any) -> AioHttpTransport:  # noqa: ANN401 - the time-outs of azure-core's transport
    """Return a transport for one credential, which closes it.

    By itself azure-core evaluates the environment through aiohttp, which rejects a password that is not
    percent-encoded, knows no CIDR ranges, and reads SSL_CERT_FILE when it is imported.

    Raises:
        InvalidProxy: here, because DefaultAzureCredential hides all exceptions of a request.
    """
    from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415 - see credentials.py

    # The package exports it lazily, without its type.
    class IdentityTransport(AioHttpTransport):  # type: ignore[misc]
        """Opens its session again after it was closed: DefaultAzureCredential shares it among its credentials."""

        async def open(self) -> None:
            self.session: aiohttp.ClientSession | None = self.session or open_session()
            await super().open()

        async def send(self, request: Any, **config: Any) -> Any:  # noqa: ANN401 - of two types, as the base class
            proxy = proxy_for(request.url)
            if proxy is not None:
                config |= {"proxy": proxy.url, "proxy_headers": proxy.headers()}
            return await super().send(request, **config)

    check_proxy_variables()
    return IdentityTransport(**options)
