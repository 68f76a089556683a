"""docs/sandbox.md describes the whole control interface, and every behaviour has a mark."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from sandbox.cloud.control.bodies import (
    AccountBody,
    ApplicationChange,
    FederationBody,
    OrganizationChange,
    SettingsBody,
    SubscriptionChange,
)
from sandbox.cloud.world.world import Settings
from tests.sandbox.cloud.direct import Direct

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text(encoding="utf-8")


async def test_every_endpoint_of_the_control_interface_is_on_the_page_and_none_else(direct: Direct) -> None:
    index = await direct.control("GET", "/")
    assert set(re.findall(r"`((?:GET|POST|PATCH|DELETE) /[^`?]*)`", PAGE)) == set(index)


def test_every_field_of_the_larger_bodies_is_on_the_page() -> None:
    models = (AccountBody, ApplicationChange, FederationBody, OrganizationChange, SettingsBody, SubscriptionChange)
    for model in models:
        for field in model.model_fields.values():
            assert f"`{field.alias}`" in PAGE or f'"{field.alias}"' in PAGE, f"{model.__name__}: {field.alias}"
    assert {field.name for field in fields(Settings)} == set(SettingsBody.model_fields)


def test_every_behaviour_says_whether_it_is_documented_observed_or_inferred() -> None:
    sections = PAGE.partition("## Entra ID")[2].partition("## What is not simulated")[0]
    rows = [
        line
        for line in sections.splitlines()
        if line.startswith("| ") and not line.startswith(("| behaviour", "| call"))
    ]
    unmarked = [row for row in rows if not re.search(r"\| [^|]*\b[DOI]\b[^|]*\|$", row)]
    assert len(rows) > 60
    assert unmarked == []
