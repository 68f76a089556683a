"""Azure regions in which Defender for Cloud offers DevOps security, as known to this version.

Only for advice: Azure decides, and adds regions at any time (docs/decisions/validation-rules.md). So a region
that is missing here is still sent to Azure; the list is for the message of `RegionNotSupported` and the documentation.

Source: "Support and prerequisites: DevOps security", learn.microsoft.com/azure/defender-for-cloud/devops-support.
"""

from __future__ import annotations

import difflib
from typing import Final

REGIONS: Final = (
    "australiaeast",
    "canadacentral",
    "centralus",
    "eastasia",
    "eastus",
    "northeurope",
    "swedencentral",
    "uksouth",
    "westeurope",
)


def is_known_region(location: str) -> bool:
    """Whether DevOps security was offered there when this version was released."""
    return location.lower() in REGIONS


def region_advice(location: str) -> str:
    """Return advice for an unsupported region: the probable typing mistake, and the known regions."""
    near = difflib.get_close_matches(location.lower(), REGIONS, n=1, cutoff=0.75)
    guess = f"Did you mean {near[0]}? " if near and near[0] != location.lower() else ""
    return f"{guess}Known regions: {', '.join(REGIONS)}."


def region_hint(location: str) -> str:
    """Return a sentence, with a space before it, for a region that is not in the list; empty for others."""
    if is_known_region(location):
        return ""
    return (
        f" spec.azure.location is {location}, which is not a known region of DevOps security. {region_advice(location)}"
    )


def normalized_region(location: str) -> str:
    """Return the short form of a region: ARM accepts and returns both `West Europe` and `westeurope`."""
    return location.replace(" ", "").lower()
