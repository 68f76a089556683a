"""A certificate authority created at start, and the certificate that all simulated services share."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

__all__ = ["make_certificates"]

_NAMES = ("localhost", "127.0.0.1", "::1", "cloud.test")
"""The last is for tests of a proxy: names below test never resolve (RFC 6761), so only the proxy can reach it."""


def make_certificates(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Create a certificate authority and a server certificate signed by it.

    Args:
        folder: where the authority's certificate is written, as `ca.pem`. No private key is written anywhere that
            outlives this call.

    Returns:
        The server's context, and the file for SSL_CERT_FILE.
    """
    authority = trustme.CA(organization_name="defender-devops sandbox")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert(*_NAMES).configure_cert(context)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return context, file
