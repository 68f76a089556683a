"""The connections of the trace exporter, which uses requests: with the project's proxy and certificate authorities.

By itself requests evaluates the environment differently from every other client here: it knows REQUESTS_CA_BUNDLE
instead of SSL_CERT_FILE, reads .netrc, and does not accept a password that is not percent-encoded.
"""

from __future__ import annotations

import os
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from defender_devops.http_client import private_tls_context
from defender_devops.proxies import proxy_for

__all__ = ["open_export_session"]

_CERTIFICATE_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
"""OpenTelemetry's own variables for the authorities of the collector; they replace SSL_CERT_FILE for it."""


def open_export_session() -> requests.Session:
    """Return a session for the exporter, which closes it.

    Raises:
        InvalidCertificateAuthorities: SSL_CERT_FILE or SSL_CERT_DIR cannot be used.
    """
    session = requests.Session()
    session.trust_env = False
    adapter = _Adapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Adapter(HTTPAdapter):
    """Chooses the proxy of each request, and trusts the certificate authorities of every other client."""

    def __init__(self) -> None:
        self._proxy_headers: dict[str, dict[str, str]] = {}
        has_own_authorities = any(os.environ.get(name) for name in _CERTIFICATE_VARIABLES)
        self._tls: dict[str, Any] = {} if has_own_authorities else {"ssl_context": private_tls_context()}
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:  # noqa: ANN401 - as the base class
        super().init_poolmanager(connections, maxsize, block, **options, **self._tls)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:  # noqa: ANN401 - as the base class
        proxy_tls = {"proxy_ssl_context": private_tls_context()} if proxy.startswith("https:") else {}
        return super().proxy_manager_for(proxy, **options, **self._tls, **proxy_tls)

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        return self._proxy_headers.get(proxy.rstrip("/"), {})

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # noqa: ANN401 - as the base class
        super().cert_verify(conn, url, verify, cert)
        if self._tls:
            conn.ca_certs = conn.ca_cert_dir = None  # the context has them; these are requests' own

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:  # noqa: ANN401 - as the base class
        proxy = proxy_for(str(request.url))
        if proxy is not None:
            self._proxy_headers[proxy.url] = proxy.headers()
        options["proxies"] = {"http": proxy.url, "https": proxy.url} if proxy else {}
        return super().send(request, *arguments, **options)
