"""The operator reads the same repositories with recommendations from every form that assessments may have."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from defender_devops.azure.resource_graph.queries import REPOSITORIES_WITH_RESULTS
from defender_devops.azure.resource_graph.repository_results import (
    RepositoryRow,
    merge_repository_rows,
    parse_repository_row,
)
from tests.sandbox.cloud.direct import CONNECTOR, Direct
from tests.sandbox.cloud.graph.test_assessments import add, connected, rows

CODE = {"severity": "High", "category": "CodeVulnerabilities"}


async def read(direct: Direct) -> Mapping[str, RepositoryRow]:
    """Return the rows of a connector, by organization."""
    merged = merge_repository_rows(map(parse_repository_row, await rows(direct, REPOSITORIES_WITH_RESULTS)))
    assert merged.keys() <= {CONNECTOR.lower()}
    return merged.get(CONNECTOR.lower(), {})


async def northwind(**variants: str) -> RepositoryRow:
    """Return the row of an organization with recommendations of two of its repositories, a project and a connection."""
    direct = await connected()
    await direct.control("PATCH", "/variants", **variants)
    await add(direct, 1, **CODE)
    await add(direct, 2, **CODE)
    await add(direct, 3, **CODE, repository="shipping", status="Healthy")
    await add(direct, 4, severity="Medium", repository="", tail="serviceConnections/azure")
    return (await read(direct))["northwind"]


@pytest.mark.parametrize(
    "variants",
    [
        {},
        *({"assessmentIds": form} for form in ("lowerCase", "percentEncoded", "lowerCasePercentEncoded")),
        *({"assessmentResourceDetails": form} for form in ("lowerCase", "absent")),
        {"assessmentResource": "unknown"},
        {"assessmentCategory": "absent"},
        {"assessmentStatus": "unfamiliar"},
    ],
    ids=lambda variants: " ".join(f"{name}={value}" for name, value in variants.items()) or "default",
)
async def test_every_form_names_the_same_repositories(variants: Mapping[str, str]) -> None:
    row = await northwind(**variants)
    assert (len(row.names), row.is_complete) == (2, True)
    assert "traders/orders" in row.names
    assert "Traders/Shipping" in row.names
    assert "traders/archive" not in row.names


@pytest.mark.parametrize("resource", ["project", "organization"])
async def test_recommendations_that_name_no_repository_name_none(resource: str) -> None:
    row = await northwind(assessmentResource=resource)
    assert (len(row.names), row.is_complete) == (0, True)


async def test_an_organization_without_recommendations_has_no_row() -> None:
    assert await read(await connected()) == {}


async def test_the_first_evaluation_is_that_of_the_organization() -> None:
    direct = await connected()
    await add(direct, 1, **CODE)
    first = (await read(direct))["northwind"].evaluated_since
    direct.move(86400.0, wall=86400.0)
    await add(direct, 2, **CODE, repository="shipping")
    assert first is not None
    assert (await read(direct))["northwind"].evaluated_since == first
    assert abs((datetime.fromtimestamp(direct.clock.wall(), UTC) - first).total_seconds() - 86400) < 60


async def test_every_repository_is_named() -> None:
    direct = await connected(10.0)
    row = (await read(direct))["contoso"]
    assert row.is_complete
    assert len(row.names) > 30
