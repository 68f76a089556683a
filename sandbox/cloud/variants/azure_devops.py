"""Variants of Azure DevOps: access, throughput and errors."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.variant import Variant

__all__ = ["AZURE_DEVOPS"]

AZURE_DEVOPS: Final[dict[str, Variant]] = {
    "resourceAreas": Variant(
        "access to the lists of resource areas and locations of Azure DevOps",
        {"open": "clients read them before they have a token", "guarded": "401 without a token"},
    ),
    "revocation": Variant(
        "access tokens of Azure DevOps after revoked sessions",
        {"atOnce": "401 insufficient_claims", "withExpiry": "they work until they expire"},
    ),
    "missingScope": Variant(
        "a delegated token without the scope of a request",
        {
            "forbidden": "403",
            "unauthorized": "401, as without a membership",
            "signInPage": "203 with the sign-in page, as for a token that is not valid",
        },
    ),
    "hiddenProjects": Variant(
        "a project that a member may not see, by its name",
        {
            "absent": "404 TF200016, as for a name that does not exist",
            "forbidden": "403 TF50309, which names the missing permission",
        },
    ),
    "stakeholderAccess": Variant(
        "code of a private project for Stakeholder access",
        {
            "forbidden": "403 TF401027, as for any missing permission of Git",
            "notFound": "404 TF401019, whose text says that there may be no permission",
        },
    ),
    "usageCosts": Variant(
        "cost of a request to Azure DevOps",
        {"low": "a fraction of a unit", "high": "ten times as much"},
    ),
    "rateLimitHeaders": Variant(
        "X-RateLimit headers of an error",
        {"everywhere": "as of a successful response", "successes": "only successful responses are documented"},
    ),
}
