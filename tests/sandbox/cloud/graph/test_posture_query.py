"""The operator counts the same recommendations in every form that assessments may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.posture import Category, PostureCounts, Severity
from defender_devops.azure.resource_graph.posture_rows import Posture, merge_posture_rows, parse_posture_row
from defender_devops.azure.resource_graph.queries import POSTURE
from sandbox.cloud.graph.query import parse_query
from sandbox.cloud.graph.tables import TABLES
from tests.sandbox.cloud.direct import CONNECTOR, Direct
from tests.sandbox.cloud.graph.test_assessments import add, connected, rows

SECRET = {"severity": "Critical", "category": "ExposedSecrets"}
CODE = {"severity": "High", "category": "CodeVulnerabilities"}
EXPECTED = PostureCounts(
    {
        (Severity.CRITICAL, Category.SECRETS): 1,
        (Severity.HIGH, Category.CODE): 2,
        (Severity.MEDIUM, Category.CONFIGURATION): 2,
    },
    healthy=1,
    not_applicable=1,
    affected_repositories=2,
)


async def counts(**variants: str) -> PostureCounts:
    """Return the numbers of an organization in which the same was found, in a form that these variants choose."""
    direct = await connected()
    await direct.control("PATCH", "/variants", **variants)
    await add(direct, 1, **SECRET)
    await add(direct, 2, **CODE)
    await add(direct, 3, **CODE, repository="shipping")
    await add(direct, 4, severity="Medium", repository="shipping")
    await add(direct, 5, severity="Medium", repository="", tail="serviceConnections/azure")
    await add(direct, 6, **CODE, status="Healthy")
    await add(direct, 7, **SECRET, status="NotApplicable")
    posture = merge_posture_rows([parse_posture_row(row) for row in await rows(direct, POSTURE)])
    assert posture.unattributed == 0
    assert posture.connectors.keys() == {CONNECTOR.lower()}
    return posture.connectors[CONNECTOR.lower()]["northwind"]


@pytest.mark.parametrize(
    "variants",
    [
        {},
        *({"assessmentIds": form} for form in ("lowerCase", "percentEncoded", "lowerCasePercentEncoded")),
        *({"assessmentResourceDetails": form} for form in ("lowerCase", "absent")),
        {"assessmentResource": "unknown"},
        *({"serviceConnectionAssessments": form} for form in ("serviceConnection", "organization")),
        {"postureCategory": "unknown"},
        *({"assessmentSeverity": form} for form in ("status", "lowerCase")),
        {"assessmentStatus": "lowerCase"},
    ],
    ids=lambda variants: " ".join(f"{name}={value}" for name, value in variants.items()) or "default",
)
async def test_every_form_gives_the_same_numbers(variants: Mapping[str, str]) -> None:
    assert await counts(**variants) == EXPECTED


async def test_a_resource_that_is_no_repository_is_counted_without_repositories() -> None:
    for resource in ("project", "organization"):
        numbers = await counts(assessmentResource=resource)
        assert (numbers.unhealthy, numbers.total) == (EXPECTED.unhealthy, EXPECTED.total)
        assert numbers.affected_repositories < EXPECTED.affected_repositories


@pytest.mark.parametrize(
    ("variants", "severities", "categories"),
    [
        ({"assessmentCategory": "absent"}, {"critical", "high", "medium"}, {"configuration"}),
        ({"assessmentCategory": "unknown"}, {"critical", "high", "medium"}, {"configuration"}),
        ({"assessmentCategory": "unfamiliar"}, {"critical", "high", "medium"}, {"other", "configuration"}),
        ({"assessmentSeverity": "absent"}, {"other"}, {"secrets", "code", "configuration"}),
        ({"assessmentSeverity": "unfamiliar"}, {"other"}, {"secrets", "code", "configuration"}),
    ],
    # The order of a set differs between the processes of a run, which must collect the same names.
    ids=lambda value: ",".join(sorted(value.values() if isinstance(value, dict) else value)),
)
async def test_what_is_not_known_is_counted_as_other(
    variants: Mapping[str, str], severities: set[str], categories: set[str]
) -> None:
    numbers = await counts(**variants)
    assert numbers.total == EXPECTED.total
    assert {severity for severity, _ in numbers.unhealthy} == severities
    assert {category for _, category in numbers.unhealthy} == categories


async def test_a_status_that_is_not_known_is_counted() -> None:
    numbers = await counts(assessmentStatus="unfamiliar")
    assert (numbers.unhealthy, numbers.other_status) == (EXPECTED.unhealthy, 2)


async def test_recommendations_of_a_thousand_repositories_are_counted_exactly() -> None:
    direct = await connected(10.0)
    posture = await read(direct)
    total = sum(numbers.total for numbers in posture.connectors[CONNECTOR.lower()].values())
    assert total == len(await rows(direct, "securityresources | where type =~ 'microsoft.security/assessments'"))


async def read(direct: Direct) -> Posture:
    return merge_posture_rows([parse_posture_row(row) for row in await rows(direct, POSTURE)])


WORDS = st.sampled_from(
    ["Unhealthy", "unhealthy", "Healthy", "High", "low", "SoftwareUpdate", "Unknown", "new", "", None]
)
PREFIX = "/subscriptions/S/resourceGroups/Rg/providers/Microsoft.Security/securityConnectors"
NAMES = st.sampled_from(
    ["contoso", "Contoso-Org", "contoso%2Dorg", "providers", "devops", "projects", "My%20Shop", "repos"]
)
TAILS = st.one_of(
    st.just(""),
    NAMES.map("/projects/{}".format),
    st.tuples(NAMES, NAMES).map(lambda names: "/projects/{}/repos/{}".format(*names)),
    st.tuples(NAMES, NAMES).map(lambda names: "/projects/{}/serviceConnections/{}".format(*names)),
    NAMES.map("/pipelines/{}/providers/Microsoft.Other/things/x".format),
)


@st.composite
def assessments(draw: st.DrawFn) -> dict[str, Any]:
    """Return one row of Resource Graph's table."""
    organization = f"{PREFIX}/{draw(NAMES)}/devops/default/azureDevOpsOrgs/{draw(NAMES)}"
    identifier = f"{organization}{draw(TAILS)}/providers/Microsoft.Security/assessments/key"
    properties = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "status": st.fixed_dictionaries({}, optional={"code": WORDS}),
                "metadata": st.fixed_dictionaries({}, optional={"severity": WORDS, "recommendationCategory": WORDS}),
            },
        )
    )
    return {
        "id": draw(st.sampled_from([identifier, identifier.lower(), identifier.upper()])),
        "type": draw(st.sampled_from(["microsoft.security/assessments", "Microsoft.Security/Assessments"])),
        "properties": properties,
    }


QUERY = parse_query(POSTURE, TABLES, 0.0)


def evaluate(entries: list[dict[str, Any]]) -> Posture:
    result = QUERY.rows(lambda _table, _admits_type: [dict(entry) for entry in entries])
    return merge_posture_rows(parse_posture_row(row) for row in result)


@given(st.lists(assessments(), max_size=20), st.randoms(use_true_random=False))
def test_every_assessment_of_an_organization_is_counted_in_any_order(
    entries: list[dict[str, Any]],
    random: Any,  # noqa: ANN401 - hypothesis' generator
) -> None:
    posture = evaluate(entries)
    totals = Counter(
        {
            (connector, organization): numbers.total
            for connector, organizations in posture.connectors.items()
            for organization, numbers in organizations.items()
        }
    )
    expected: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        connector, _, rest = (
            entry["id"].lower().replace("%2d", "-").replace("%20", " ").partition("/devops/default/azuredevopsorgs/")
        )
        expected[connector, rest.partition("/")[0]] += 1
    assert totals == expected
    random.shuffle(entries)
    assert evaluate(entries) == posture
