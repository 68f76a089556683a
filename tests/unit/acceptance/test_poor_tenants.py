"""Tenants in which something is missing: the kit agrees only where it could have seen an alternative."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from acceptance.checks import Probe, Verdict
from acceptance.command import all_probes
from acceptance.invisible import INVISIBLE_VARIANTS
from acceptance.running import Row
from sandbox.cloud.variants import VARIANTS
from tests.support.tenant_in_memory import TenantInMemory, world_document

Document = dict[str, Any]


def organization(document: Document) -> Document:
    """Return the organization that the kit reads."""
    first: Document = document["organizations"][0]
    return first


def project(document: Document) -> Document:
    """Return its project with everything."""
    first: Document = organization(document)["projects"][0]
    return first


def remove_empty_organization(document: Document) -> None:
    document["organizations"] = [item for item in document["organizations"] if item["name"] != "hollow"]
    document["connectors"][0]["organizations"].remove("hollow")


def enable_every_extension(document: Document) -> None:
    del document["subscriptions"][0]["cspmExtensions"]


def stop_changes(document: Document) -> None:
    document["generateAssessments"] = {"perRepository": 1, "churn": 0}


def remove_assessments(document: Document) -> None:
    del document["generateAssessments"]


def remove_posture(document: Document) -> None:
    document["generateAssessments"]["posture"] = False


def remove_findings(document: Document) -> None:
    document["generateAssessments"] = {"perRepository": 0}


def keep_few_repositories(document: Document) -> None:
    del project(document)["generate"]


def keep_one_repository(document: Document) -> None:
    project(document)["repositories"] = project(document)["repositories"][:1]


def remove_blanks(document: Document) -> None:
    project(document)["name"] = "webshop"


def remove_pipelines(document: Document) -> None:
    del project(document)["pipelines"]


def keep_one_pipeline(document: Document) -> None:
    project(document)["pipelines"] = project(document)["pipelines"][:1]


def keep_designer_pipeline(document: Document) -> None:
    project(document)["pipelines"] = project(document)["pipelines"][-1:]


def remove_extensions(document: Document) -> None:
    organization(document)["extensions"] = [{}]


def disable_advanced_security(document: Document) -> None:
    del project(document)["repositories"][0]["advancedSecurity"]


def enable_advanced_security_everywhere(document: Document) -> None:
    keep_few_repositories(document)
    organization(document)["projects"] = [project(document)]
    for repository in project(document)["repositories"]:
        repository["advancedSecurity"] = {"codeSecurity": True}


def select_everything(document: Document) -> None:
    document["connectors"][1]["organizations"] = ["trial-one", "trial-two", "trial-three"]


def select_one(document: Document) -> None:
    document["connectors"][1]["organizations"] = ["trial-one"]


def remove_everything_unusual(document: Document) -> None:
    remove_empty_organization(document)
    enable_every_extension(document)
    stop_changes(document)
    remove_extensions(document)
    text = "pool: {vmImage: ubuntu-latest}\nsteps:\n  - script: make\n"
    repository = {"name": "storefront", "files": {"azure-pipelines.yml": text}}
    pipeline = {"name": "build", "repository": "storefront", "builds": [{"age": 3600}]}
    organization(document)["projects"] = [{"name": "shop", "repositories": [repository], "pipelines": [pipeline]}]


QUICK = (remove_empty_organization, remove_everything_unusual)
SLOW = (
    enable_every_extension,
    stop_changes,
    remove_assessments,
    remove_posture,
    remove_findings,
    keep_few_repositories,
    keep_one_repository,
    remove_blanks,
    remove_pipelines,
    keep_one_pipeline,
    keep_designer_pipeline,
    remove_extensions,
    disable_advanced_security,
    enable_advanced_security_everywhere,
    select_everything,
    select_one,
)


def poor(change: Callable[[Document], None]) -> Document:
    """Return the world of the kit without something."""
    document = copy.deepcopy(world_document())
    change(document)
    return document


async def rows_of(probe: Probe, document: Document, choices: dict[str, str]) -> list[Row]:
    """Return the result of one probe."""
    tenant = TenantInMemory(choices, document)
    await tenant.age()
    return (await tenant.run(write=True, probes=(probe,))).rows


async def assert_no_verdict_is_wrong(document: Document) -> None:
    for probe in all_probes(write=True):
        rows = await rows_of(probe, document, {})
        assert {row.key: row.evidence for row in rows if row.verdict is Verdict.DIFFERS} == {}
        for name in {check.variant for check in probe.checks} - {""}:
            for value in list(VARIANTS[name].values)[1:]:
                await assert_alternative_is_no_default(probe, document, name, value)


async def assert_alternative_is_no_default(probe: Probe, document: Document, name: str, value: str) -> None:
    for row in await rows_of(probe, document, {name: value}):
        if row.variant == name:
            assert row.verdict is not Verdict.AGREES, f"{name}={value}: {row.evidence}"
            assert row.verdict is not Verdict.DIFFERS or value in row.possible_values, f"{name}={value}: {row.evidence}"
        else:
            assert row.verdict is not Verdict.DIFFERS, f"{name}={value} changes {row.key}: {row.evidence}"


def test_every_variant_with_a_check_is_tried() -> None:
    checks = {check.variant for probe in all_probes(write=True) for check in probe.checks if check.variant}
    assert checks == VARIANTS.keys() - INVISIBLE_VARIANTS.keys()


@pytest.mark.parametrize("change", QUICK, ids=lambda change: change.__name__)
async def test_in_a_poor_tenant_the_kit_does_not_agree_with_what_it_cannot_see(
    change: Callable[[Document], None],
) -> None:
    await assert_no_verdict_is_wrong(poor(change))


@pytest.mark.long
@pytest.mark.parametrize("change", SLOW, ids=lambda change: change.__name__)
async def test_in_each_poor_tenant_the_kit_does_not_agree_with_what_it_cannot_see(
    change: Callable[[Document], None],
) -> None:
    await assert_no_verdict_is_wrong(poor(change))
