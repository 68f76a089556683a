"""From rows of Resource Graph to numbers of recommendations: nothing is dropped, whatever a row contains."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.posture import Category, PostureCounts, Severity
from defender_devops.azure.resource_graph.posture_rows import Posture, merge_posture_rows, parse_posture_row

CONNECTOR = (
    "/subscriptions/22222222-2222-2222-2222-222222222222/resourcegroups/rg/providers/microsoft.security"
    "/securityconnectors/contoso"
)
ORGANIZATION = f"{CONNECTOR}/devops/default/azuredevopsorgs/contoso-org"


def bag(status: object, number: object = 1, severity: object = "", category: object = "") -> dict[str, Any]:
    return {"status": status, "severity": severity, "category": category, "number": number}


def row(*bags: object, row_id: str = ORGANIZATION, **columns: object) -> dict[str, Any]:
    total = sum(entry["number"] for entry in bags if isinstance(entry, dict) and isinstance(entry["number"], int))
    return {"id": row_id, "recommendations": total, "counts": list(bags), "repositories": None, **columns}


def parse(*rows: dict[str, Any]) -> Posture:
    return merge_posture_rows(parse_posture_row(entry) for entry in rows)


def counts_of(*rows: dict[str, Any]) -> PostureCounts:
    return parse(*rows).connectors[CONNECTOR]["contoso-org"]


@pytest.mark.parametrize(
    ("severity", "category", "pair"),
    [
        ("Critical", "ExposedSecrets", (Severity.CRITICAL, Category.SECRETS)),
        ("High", "CodeVulnerabilities", (Severity.HIGH, Category.CODE)),
        ("Medium", "SoftwareUpdate", (Severity.MEDIUM, Category.DEPENDENCIES)),
        ("Low", "IacVulnerabilities", (Severity.LOW, Category.INFRASTRUCTURE_AS_CODE)),
        ("High", "ApiVulnerabilities", (Severity.HIGH, Category.API)),
        ("HIGH", "APIVULNERABILITIES", (Severity.HIGH, Category.API)),
        ("high", " exposedSecrets ", (Severity.HIGH, Category.SECRETS)),
        ("High", "", (Severity.HIGH, Category.CONFIGURATION)),
        ("High", "Unknown", (Severity.HIGH, Category.CONFIGURATION)),
        ("High", None, (Severity.HIGH, Category.CONFIGURATION)),
        ("", "ExposedSecrets", (Severity.OTHER, Category.SECRETS)),
        (None, None, (Severity.OTHER, Category.CONFIGURATION)),
        ("Severe", "QuantumVulnerabilities", (Severity.OTHER, Category.OTHER)),
        (7, ["a list"], (Severity.OTHER, Category.OTHER)),
    ],
)
def test_a_recommendation_to_act_on_is_counted_by_severity_and_category(
    severity: object, category: object, pair: tuple[Severity, Category]
) -> None:
    assert counts_of(row(bag("Unhealthy", 3, severity, category))) == PostureCounts({pair: 3})


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ("Healthy", PostureCounts(healthy=3)),
        ("HEALTHY", PostureCounts(healthy=3)),
        ("NotApplicable", PostureCounts(not_applicable=3)),
        ("notapplicable", PostureCounts(not_applicable=3)),
        ("Pending", PostureCounts(other_status=3)),
        ("", PostureCounts(other_status=3)),
        (None, PostureCounts(other_status=3)),
    ],
)
def test_other_recommendations_are_counted_by_status(status: object, counts: PostureCounts) -> None:
    assert counts_of(row(bag(status, 3, "High", "ExposedSecrets"))) == counts


def test_words_that_differ_only_in_case_are_one() -> None:
    merged = counts_of(
        row(bag("Unhealthy", 1, "High", "SoftwareUpdate"), bag("unhealthy", 2, "high", "softwareupdate"))
    )
    assert merged == PostureCounts({(Severity.HIGH, Category.DEPENDENCIES): 3})


def test_unknown_words_are_returned_for_the_log() -> None:
    posture = parse(row(bag("Unhealthy", 1, "Severe", "Quantum\x1b[31m"), bag("Pending", 1), bag("Unhealthy", 1)))
    assert posture.unknown == {"severity 'severe'", "category 'quantum\\x1b[31m'", "status 'pending'"}


@pytest.mark.parametrize("status", ["Healthy", "NotApplicable"])
def test_severity_and_category_matter_only_where_there_is_something_to_do(status: str) -> None:
    assert parse(row(bag(status, 1, "Severe", "Quantum"))).unknown == frozenset()


@pytest.mark.parametrize(
    "junk", [None, "text", 7, {"status": "Unhealthy"}, bag("Unhealthy", "three"), bag("Healthy", -1)]
)
def test_recommendations_that_no_bag_explains_are_counted_as_of_another_status(junk: object) -> None:
    broken = {**row(bag("Healthy", 2)), "counts": [bag("Healthy", 2), junk], "recommendations": 5}
    posture = parse(broken)
    assert posture.connectors[CONNECTOR]["contoso-org"] == PostureCounts(healthy=2, other_status=3)
    assert posture.unknown == {"counts that do not add up"}


@pytest.mark.parametrize("counts", [None, "text", {}, 7])
def test_a_row_without_bags_keeps_its_total(counts: object) -> None:
    assert counts_of({**row(), "counts": counts, "recommendations": 4}) == PostureCounts(other_status=4)


def test_a_total_that_is_too_small_takes_nothing_away() -> None:
    assert counts_of({**row(bag("Healthy", 2)), "recommendations": 1}).healthy == 2


@pytest.mark.parametrize(
    ("row_id", "organization"),
    [
        (ORGANIZATION.upper(), "contoso-org"),
        (f"{CONNECTOR}/devops/default/azuredevopsorgs/contoso%2Dorg", "contoso-org"),
        (f"{CONNECTOR}/devops/default/azuredevopsorgs/caf%C3%A9", "café"),
    ],
)
def test_names_are_decoded_and_in_lower_case(row_id: str, organization: str) -> None:
    assert list(parse(row(bag("Healthy"), row_id=row_id)).connectors[CONNECTOR]) == [organization]


@pytest.mark.parametrize(
    "row_id",
    [
        "",
        "/subscriptions/s/providers/microsoft.security/assessments",
        f"{CONNECTOR}/devops/default/azuredevopsorgs/",
        f"{CONNECTOR}/devops/default/azuredevopsorgs/%20",
        f"{CONNECTOR}/devops/default/azuredevopsorgs/a%2Fb",
        "/tenants/t/devops/default/azuredevopsorgs/contoso-org",
        "/subscriptions/s/resourcegroups/rg/providers/other/securityconnectors/c/devops/default/azuredevopsorgs/x",
    ],
)
def test_an_id_of_another_form_is_counted_and_belongs_to_nobody(row_id: str) -> None:
    posture = parse(row(bag("Unhealthy", 3), row_id=row_id), row(bag("Healthy")))
    assert posture.unattributed == 3
    assert posture.unknown == {"id of another form"}
    assert list(posture.connectors) == [CONNECTOR]


@pytest.mark.parametrize(
    ("number", "counted"),
    [
        (10**400, 2**31 - 1),
        (2**63, 2**31 - 1),
        (1e300, 2**31 - 1),
        (12.0, 12),
        (float("inf"), 0),
        (float("nan"), 0),
        (-5, 0),
        (1.5, 0),
        (True, 0),
        ("12", 0),
        (None, 0),
        ([], 0),
    ],
)
def test_no_number_breaks_a_status_or_a_metric_and_none_becomes_zero(number: object, counted: int) -> None:
    answer = parse(row(bag("Unhealthy", number, "High"), recommendations=number, repositories=number))
    counts = answer.connectors[CONNECTOR]["contoso-org"]
    assert counts.unhealthy == ({(Severity.HIGH, Category.CONFIGURATION): counted} if counted else {})
    assert counts.affected_repositories == counted
    assert counts.total == (counted or 1)
    assert counts.total < 2**63
    assert float(counts.total) >= 1
    assert counted or "counts that do not add up" in answer.unknown


@pytest.mark.parametrize(
    "name",
    [
        "o" * 100_000,
        "\u202eevil",
        "%00",
        "..",
        "a%0ab",
        "\x1b[2J",
        "\u0130",
        "\xdf",
        "%ff",
        "a%2fb",
        "%25252f",
        "\ud800",
    ],
)
def test_a_hostile_name_takes_nothing_from_another_organization(name: str) -> None:
    hostile = row(bag("Unhealthy", 7), row_id=f"{CONNECTOR}/devops/default/azuredevopsorgs/{name}")
    answer = parse(row(bag("Unhealthy", 3)), hostile)
    assert answer.connectors[CONNECTOR]["contoso-org"].total == 3
    assert sum(counts.total for counts in answer.connectors[CONNECTOR].values()) + answer.unattributed == 10
    assert len(answer.connectors) == 1


@pytest.mark.parametrize("place", ["connector", "resource group"])
def test_an_encoded_slash_does_not_move_recommendations_to_another_connector(place: str) -> None:
    part = "securityconnectors/contoso" if place == "connector" else "resourcegroups/rg"
    forged = f"{part}%2fx"
    answer = parse(row(bag("Unhealthy", 7), row_id=ORGANIZATION.replace(part, forged)))
    assert answer.connectors == {}
    assert answer.unattributed == 7


def test_many_unknown_words_are_limited() -> None:
    answer = parse(
        *(row(bag("Unhealthy", 1, f"severity {n} " + "x" * 1000), row_id=f"{ORGANIZATION}{n}") for n in range(2_000))
    )
    assert len(answer.unknown) <= 20
    assert all(len(word) < 100 for word in answer.unknown)


def test_two_spellings_of_an_organization_are_added() -> None:
    one = row(bag("Unhealthy", 1, "High"), bag("Healthy", 1), changedAt="2026-10-01T00:00:00Z", repositories=1)
    other = row(
        bag("Unhealthy", 2, "High"),
        bag("Unhealthy", 1, "Low"),
        row_id=ORGANIZATION.replace("-", "%2d"),
        changedAt="2026-10-02T00:00:00Z",
        repositories=2,
    )
    counts = counts_of(one, other)
    assert counts == PostureCounts(
        {(Severity.HIGH, Category.CONFIGURATION): 3, (Severity.LOW, Category.CONFIGURATION): 1},
        healthy=1,
        affected_repositories=3,
    )
    assert counts.latest_change == datetime(2026, 10, 2, tzinfo=UTC)


def test_a_row_that_is_in_two_pages_is_counted_once() -> None:
    assert counts_of(row(bag("Healthy", 2)), row(bag("Healthy", 2))).healthy == 2


@pytest.mark.parametrize(
    ("columns", "time"),
    [
        ({"evaluatedAt": "2026-10-01T04:12:00Z"}, datetime(2026, 10, 1, 4, 12, tzinfo=UTC)),
        ({"changedAt": "2026-10-01T04:12:00.1234567Z"}, datetime(2026, 10, 1, 4, 12, 0, 123456, tzinfo=UTC)),
        (
            {"evaluatedAt": "2026-10-03T00:00:00Z", "changedAt": "2026-10-02T00:00:00Z"},
            datetime(2026, 10, 3, tzinfo=UTC),
        ),
        ({"evaluatedAt": "yesterday", "changedAt": None}, None),
        ({}, None),
    ],
)
def test_the_latest_change_is_the_newest_time_of_all(columns: dict[str, Any], time: datetime | None) -> None:
    assert counts_of(row(bag("Healthy"), **columns)).latest_change == time


def test_equal_numbers_are_equal_whenever_they_changed() -> None:
    assert counts_of(row(bag("Healthy"), changedAt="2026-10-01T00:00:00Z")) == counts_of(row(bag("Healthy")))


WORDS = st.sampled_from(
    ["Unhealthy", "Healthy", "NotApplicable", "High", "critical", "LOW", "SoftwareUpdate", "Unknown", "", None, "new"]
)
BAGS = st.builds(bag, WORDS, st.integers(1, 50), WORDS, WORDS)
IDS = st.sampled_from(
    [
        ORGANIZATION,
        f"{CONNECTOR}/devops/default/azuredevopsorgs/other",
        f"{CONNECTOR}2/devops/default/azuredevopsorgs/x",
    ]
)
ROWS = st.lists(st.tuples(IDS, st.lists(BAGS, max_size=6)), max_size=4, unique_by=lambda entry: entry[0]).map(
    lambda entries: [row(*bags, row_id=row_id) for row_id, bags in entries]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=8,
)
COLUMNS = ("id", "counts", "recommendations", "repositories", "evaluatedAt", "changedAt")


@given(ROWS)
def test_all_recommendations_are_counted(rows: list[dict[str, Any]]) -> None:
    posture = parse(*rows)
    total = sum(counts.total for organizations in posture.connectors.values() for counts in organizations.values())
    assert total + posture.unattributed == sum(entry["recommendations"] for entry in rows)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_bags_is_irrelevant(rows: list[dict[str, Any]], random: Any) -> None:  # noqa: ANN401
    expected = parse(*rows)
    shuffled = [{**entry, "counts": random.sample(entry["counts"], len(entry["counts"]))} for entry in rows]
    random.shuffle(shuffled)
    assert parse(*shuffled) == expected


@given(st.lists(BAGS, max_size=6))
def test_unhealthy_recommendations_add_up_by_severity_and_by_category(bags: list[dict[str, Any]]) -> None:
    unhealthy = counts_of(row(*bags)).unhealthy
    expected = sum(entry["number"] for entry in bags if entry["status"] == "Unhealthy")
    by_severity: Counter[Severity] = Counter()
    by_category: Counter[Category] = Counter()
    for (severity, category), number in unhealthy.items():
        by_severity[severity] += number
        by_category[category] += number
    assert by_severity.total() == by_category.total() == expected


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, JSON)))
def test_no_row_raises(columns: dict[str, Any]) -> None:
    parsed = parse_posture_row(columns)
    assert parsed.counts.total >= 0
    number = columns.get("recommendations")
    if isinstance(number, int) and not isinstance(number, bool):
        assert parsed.counts.total >= number
