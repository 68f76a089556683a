"""Variants of Resource Graph: its rows, delays and pages."""

from __future__ import annotations

from typing import Final

from sandbox.cloud.variants.variant import Variant

__all__ = ["RESOURCE_GRAPH"]

RESOURCE_GRAPH: Final[dict[str, Variant]] = {
    "graphChildren": Variant(
        "rows of organizations, projects and repositories in Resource Graph",
        {
            "arm": "names and ids as in Resource Manager",
            "lowerCase": "ids in lower case",
            "percentEncoded": "names in ids percent-encoded",
            "withoutEmpty": "organizations without projects have no row",
            "absent": "no published query shows such rows",
        },
    ),
    "graphProjects": Variant(
        "rows of projects in Resource Graph",
        {"present": "as Resource Manager's", "absent": "the list of supported types does not have the type"},
    ),
    "graphDeletions": Variant(
        "rows of a deleted connector in Resource Graph",
        {"followed": "go with the connector", "linger": "stay for a day, as results of deleted resources do"},
    ),
    "graphLag": Variant(
        "delay of Resource Graph",
        {"none": "as `resourceGraphLag` says", "minutes": "five minutes: it is eventually consistent"},
    ),
    "assessmentDelay": Variant(
        "delay of assessments in Resource Graph beyond that of other rows",
        {"none": "as `assessmentLag` says", "hour": "they come from another service than the resources"},
    ),
    "resourceGraphPages": Variant(
        "rows beyond the first page of a query that can be paged",
        {"skipToken": "documented", "truncated": "`resultTruncated` without a token, as for other queries"},
    ),
    "skipTokens": Variant(
        "how long a skip token is valid",
        {"lastEight": "while its result is among the last eight", "minute": "for a minute"},
    ),
}
