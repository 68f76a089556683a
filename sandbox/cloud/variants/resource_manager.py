"""Variants of Resource Manager: subscriptions, plans, versions, checks and counters."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.variant import Variant

__all__ = ["RESOURCE_MANAGER"]

RESOURCE_MANAGER: Final[dict[str, Variant]] = {
    "checkOrder": Variant(
        "what is checked first: permissions, the resource group or the registration of the provider",
        {
            "permissions": "nobody learns what exists without a permission",
            "group": "Resource Manager knows groups without asking anyone",
            "registration": "the provider is asked last, but its registration is known to Resource Manager",
        },
    ),
    "unsupportedVersions": Variant(
        "an api-version that the provider has, but not for this type",
        {"byType": "NoRegisteredProviderFound", "invalid": "InvalidApiVersionParameter, as for any other"},
    ),
    "unregisteredPlans": Variant(
        "plans of a subscription that is not registered for Microsoft.Security",
        {
            "notFound": "404 `Subscription Not Registered`",
            "conflict": "409 MissingSubscriptionRegistration, as for a write",
            "free": "a plan that is Free",
        },
    ),
    "otherPlans": Variant(
        "plans beside CloudPosture",
        {"absent": "a connector needs no other", "present": "every subscription has a dozen of them"},
    ),
    "planExtensions": Variant(
        "extensions of the plan CloudPosture",
        {
            "all": "five, each on or off",
            "enabled": "only those that are on",
            "absent": "no list, as in older api-versions",
        },
    ),
    "resourceLists": Variant(
        "resources of a subscription in Resource Manager's general list",
        {"readable": "those that the caller may read", "all": "all, for whoever may list"},
    ),
    "resourceRequests": Variant(
        "the connector's own counter of remaining requests",
        {"refills": "as the counters of Resource Manager do", "constant": "99 and 249 were all that was seen"},
    ),
    "metadataFields": Variant(
        "fields of `/metadata/endpoints`",
        {"full": "as of other clouds' descriptions", "few": "authentication and resourceManager alone"},
    ),
    "unfamiliarAnswers": Variant(
        "what this version of the API does not describe",
        {
            "absent": "nothing",
            "fields": "properties that are added over time",
            "values": "provisioning and onboarding states that are added over time",
            "kinds": "resource types that are added over time, in Resource Graph",
        },
    ),
}
