"""Variants of Entra ID: errors of sign-ins, and polling."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.variant import Variant

__all__ = ["ENTRA_ID"]

ENTRA_ID: Final[dict[str, Variant]] = {
    "secretOutsideAscii": Variant(
        "a client secret with characters outside of ASCII",
        {"wrongSecret": "AADSTS7000215, as any wrong one", "invalidRequest": "an error of its encoding"},
    ),
    "rareErrors": Variant(
        "HTTP status and `error` of rare AADSTS numbers",
        {"catalogue": "what OAuth calls them", "generic": "400 and invalid_request, with the same number"},
    ),
    "administratorErrors": Variant(
        "the `error` that returns to the application when only an administrator can help",
        {"accessDenied": "access_denied", "serverError": "server_error"},
    ),
    "missingVerifier": Variant(
        "a redeemed code without its PKCE verifier",
        {"wrong": "AADSTS501481, as a wrong one", "missingParameter": "AADSTS900144, as any missing parameter"},
    ),
    "slowDown": Variant(
        "when polling for a device code is too fast",
        {"half": "below half the interval", "interval": "below the interval", "never": "never"},
    ),
}
