"""Variants of what discovery finds, when, and how it is listed."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.variant import Variant

__all__ = ["DISCOVERY"]

DISCOVERY: Final[dict[str, Variant]] = {
    "discoveryStart": Variant(
        "time to the first discovered project",
        {"quarterHour": "some minutes, as in demonstrations", "sixHours": "the next run, up to eight hours later"},
    ),
    "discoveryCounts": Variant(
        "the discovered projects during a later discovery run",
        {"rising": "change when the run ends", "falling": "fall to a half first: a run begins from nothing"},
    ),
    "emptyRepositories": Variant(
        "repositories without a commit",
        {"listed": "they are repositories of the project", "missing": "there is nothing to scan"},
    ),
    "extensionInstallation": Variant(
        "when Defender installs its container mapping extension",
        {"minutes": "after five minutes", "day": "after a day", "never": "only where a person installs it"},
    ),
    "listPages": Variant(
        "items of a page of organizations, projects or repositories",
        {"ten": "observed for repositories", "hundred": "as for connectors", "all": "one page"},
    ),
}
