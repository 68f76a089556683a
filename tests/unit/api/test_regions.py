from __future__ import annotations

import pytest

from defender_devops.api.connector import Azure
from defender_devops.api.regions import REGIONS, is_known_region, region_advice, region_hint
from defender_devops.api.schema.structural import schema_descriptions


def test_regions_are_in_short_form_and_sorted() -> None:
    assert list(REGIONS) == sorted(REGIONS)
    assert all(region.isalnum() and region.islower() for region in REGIONS)


def test_kubectl_explain_lists_the_known_regions() -> None:
    text = schema_descriptions(Azure)["location"]
    assert [region for region in REGIONS if region not in text] == []


@pytest.mark.parametrize(("location", "expected"), [("westeurope", True), ("WestEurope", True), ("westus", False)])
def test_a_region_is_known_in_any_case(location: str, expected: bool) -> None:
    assert is_known_region(location) is expected


@pytest.mark.parametrize(
    ("location", "start"),
    [
        ("westeurop", "Did you mean westeurope? Known regions: australiaeast,"),
        ("marsnorth", "Known regions: australiaeast,"),
        ("westeurope", "Known regions: australiaeast,"),
    ],
)
def test_the_advice_guesses_the_typing_mistake_and_lists_the_regions(location: str, start: str) -> None:
    assert region_advice(location).startswith(start)


def test_a_hint_is_given_for_an_unknown_region_only() -> None:
    assert region_hint("westeurope") == ""
    assert "which is not a known region of DevOps security. Did you mean westeurope?" in region_hint("westurope")
