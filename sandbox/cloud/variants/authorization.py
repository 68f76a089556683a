"""Variants of Defender's authorization: its one-time code, and its loss."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.variant import Variant

__all__ = ["AUTHORIZATION"]

AUTHORIZATION: Final[dict[str, Variant]] = {
    "codeRedemption": Variant(
        "when Defender redeems the one-time code",
        {"accepted": "when it accepts the PUT", "finished": "when the operation ends, as the message appears there"},
    ),
    "codeLifetime": Variant(
        "how long the one-time code can be redeemed",
        {
            "tenMinutes": "usual for codes of OAuth",
            "oneMinute": "the shortest that the dialog allows",
            "oneHour": "as long as an access token",
        },
    ),
    "codeAfterLoss": Variant(
        "a one-time code of an account that has lost its access",
        {"invalid": "becomes invalid with the account", "valid": "is a token by itself"},
    ),
    "tokenExchangeMessage": Variant(
        "message of a failed configuration",
        {
            "quoted": "quotes the request to Azure DevOps and its answer",
            "plain": "only the code: the quotation is for the service's own people",
            "empty": "none",
        },
    ),
    "listAvailableWithoutAuthorization": Variant(
        "listAvailableAzureDevOpsOrgs when the authorization is lost",
        {
            "tokenExchangeFailed": "400 TokenExchangeFailed, the code of a failed create",
            "badRequest": "400 with a general code",
            "unauthorized": "401, as Azure DevOps answers Defender",
            "forbidden": "403, as for any missing right",
            "serverError": "500: the service did not expect it",
            "empty": "200 and an empty list: nothing is available",
            "stale": "200 and the list as it was: it may be cached",
        },
    ),
    "listAvailableWithoutOrganizations": Variant(
        "listAvailableAzureDevOpsOrgs when the account has no organization any more",
        {
            "empty": "an empty list: the authorization works",
            "tokenExchangeFailed": "400 TokenExchangeFailed: an account without organizations cannot authorize either",
            "forbidden": "403",
        },
    ),
    "provisioningAfterLoss": Variant(
        "provisioning state after a discovery run without authorization",
        {
            "failed": "Failed with the message of the token exchange, as after a failed create",
            "unchanged": "stays Succeeded, with the old times: the state is that of the last write",
            "refreshed": "stays Succeeded, and the times of the organizations move",
        },
    ),
    "organizationsWithoutAdministrator": Variant(
        "an organization whose administrator the account is not",
        {
            "failed": "is listed, with state Failed",
            "notOnboarded": "is listed as NotOnboarded, with state Failed",
            "missing": "is not listed",
        },
    ),
}
