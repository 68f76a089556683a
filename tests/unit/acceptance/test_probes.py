"""What the probes observe: with defaults all agrees, with a variant exactly that row differs."""

from __future__ import annotations

import asyncio
import copy
import os
import random
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from acceptance.checks import Cost, Verdict
from acceptance.command import all_probes
from acceptance.invisible import INVISIBLE_VARIANTS
from acceptance.report import variant_flags
from acceptance.running import Interrupted
from sandbox.cloud.variants import VARIANTS
from tests.support.tenant_in_memory import FILE, HOUR, TenantInMemory, run_kit, world_document

SEED = int(os.environ.get("ACCEPTANCE_SEED", "16"))

ALTERNATIVES = [
    (name, value)
    for name, variant in VARIANTS.items()
    if name not in INVISIBLE_VARIANTS
    for value in list(variant.values)[1:]
]
NOT_SHOWN = {
    ("assessmentRights", "securityRoles"): "an identity that sees nothing cannot know why",
    ("resolvedAssessments", "vanishes"): "what has vanished may never have been there",
}
"""Alternatives that no answer shows: the kit says that it could not tell."""

INDISTINCT = {("listPages", "hundred"): ("hundred", "all"), ("listPages", "all"): ("hundred", "all")}
"""Alternatives that show the same in this tenant, whose lists are shorter: the kit names all of them."""

OVERRIDES: dict[tuple[str, str], dict[str, Any]] = {("assessmentRows", "absent"): {"hasSecurityRole": True}}
"""What the tenant file says where an alternative needs another one than usual."""

UNKNOWN_BY_DEFAULT: set[str] = set()

QUICK = [
    ("unsupportedVersions", "invalid"),
    ("checkOrder", "group"),
    ("capabilities", "several"),
    ("annotationsDefault", "none"),
    ("emptyRepositories", "missing"),
    ("graphChildren", "lowerCase"),
    ("assessmentIds", "percentEncoded"),
    ("assessmentSeverity", "status"),
    ("listAvailableWithoutAuthorization", "serverError"),
    ("provisioningAfterLoss", "refreshed"),
    ("firstLog", "ordinary"),
    ("inventoryPatch", "adds"),
    ("connectorChildren", "required"),
]


async def observe(choices: dict[str, str], **changes: object) -> tuple[dict[str, str], list[str]]:
    """Return what differs, and the flags that the kit proposes."""
    tenant = TenantInMemory(choices)
    await tenant.age()
    result = await tenant.run(write=True, **changes)
    return result.by_verdict(Verdict.DIFFERS), variant_flags(result.rows)


async def test_with_the_defaults_everything_agrees(tenant: TenantInMemory) -> None:
    result = await tenant.run(write=True)
    assert result.by_verdict(Verdict.DIFFERS) == {}
    assert set(result.by_verdict(Verdict.UNKNOWN)) == UNKNOWN_BY_DEFAULT, result.by_verdict(Verdict.UNKNOWN)
    assert variant_flags(result.rows) == []


async def test_without_write_nothing_is_changed(tenant: TenantInMemory) -> None:
    result = await tenant.run()
    assert await tenant.effects() == []
    assert result.by_verdict(Verdict.DIFFERS) == {}
    assert len(result.by_verdict(Verdict.AGREES)) > 80


async def test_write_changes_the_expendable_connector_alone_and_restores_it(tenant: TenantInMemory) -> None:
    before = await connectors(tenant)
    await tenant.run(write=True, deleteExpendableConnector=False)
    assert len(await tenant.effects()) > 8
    assert await connectors(tenant) == before


async def connectors(tenant: TenantInMemory) -> list[dict[str, Any]]:
    """Return what exists, without the numbers of projects: an organization that was away is discovered again."""
    items: list[dict[str, Any]] = (await tenant.direct.control("GET", "/world"))["connectors"]
    for item in items:
        item["configuration"]["organizations"] = set(item["configuration"]["organizations"])
    return items


async def assert_is_detected(name: str, value: str) -> None:
    differing, flags = await observe({name: value}, **OVERRIDES.get((name, value), {}))
    if (name, value) in NOT_SHOWN:
        assert differing == {}
        return
    possible = INDISTINCT.get((name, value), (value,))
    assert set(differing) == {name}
    assert differing[name].startswith(f"{' or '.join(possible)} (")
    assert flags == [f"--variant {name}={possible[0]}"]


async def observe_alone(
    name: str, value: str, document: dict[str, Any] | None = None, **changes: object
) -> tuple[Verdict, str]:
    """Return the verdict on a variant, and what was observed, of a run of its probe alone."""
    probe = next(probe for probe in all_probes(write=True) for check in probe.checks if check.variant == name)
    tenant = TenantInMemory({name: value}, document)
    await tenant.age()
    result = await tenant.run(write=True, probes=(probe,), **changes)
    row = next(row for row in result.rows if row.variant == name)
    return row.verdict, row.observed


@pytest.mark.parametrize(("name", "value"), ALTERNATIVES)
async def test_an_alternative_never_agrees_with_the_default(name: str, value: str) -> None:
    verdict, _ = await observe_alone(name, value)
    is_hidden = (name, value) in NOT_SHOWN or (name, value) in OVERRIDES
    assert verdict is (Verdict.UNKNOWN if is_hidden else Verdict.DIFFERS)


@pytest.mark.parametrize("value", VARIANTS["listPages"].values)
async def test_a_list_of_more_than_a_hundred_shows_how_long_a_page_is(value: str) -> None:
    document = copy.deepcopy(world_document())
    document["organizations"][0]["projects"][0]["generate"] = 120
    verdict, observed = await observe_alone("listPages", value, document)
    assert observed == value
    assert verdict is (Verdict.AGREES if value == VARIANTS["listPages"].default else Verdict.DIFFERS)


@pytest.mark.parametrize("missing", ["unregisteredSubscription", "its resource group"])
async def test_without_an_action_that_needs_the_registration_the_order_of_checks_is_open(missing: str) -> None:
    document = copy.deepcopy(world_document())
    if missing != "unregisteredSubscription":
        document["subscriptions"][1]["resourceGroups"] = []
    changes = {} if missing != "unregisteredSubscription" else {missing: None}
    verdict, observed = await observe_alone("checkOrder", "permissions", document, **changes)
    assert (verdict, observed) == (Verdict.UNKNOWN, "permissions or registration")
    for value in ("group", "registration"):
        assert await observe_alone("checkOrder", value, document, **changes) == (Verdict.DIFFERS, value)


@pytest.mark.parametrize(("name", "value"), QUICK)
async def test_exactly_the_row_of_a_variant_differs(name: str, value: str) -> None:
    await assert_is_detected(name, value)


@pytest.mark.long
@pytest.mark.parametrize(("name", "value"), ALTERNATIVES)
async def test_exactly_the_row_of_each_variant_differs(name: str, value: str) -> None:
    await assert_is_detected(name, value)


@pytest.mark.long
@pytest.mark.parametrize("name", INVISIBLE_VARIANTS)
async def test_a_variant_that_nobody_can_observe_changes_no_row(name: str) -> None:
    for value in list(VARIANTS[name].values)[1:]:
        differing, _ = await observe({name: value})
        assert differing == {}


CONFLICTS = (
    {"assessmentRows", "assessmentRights", "firstAssessments", "assessmentIds", "assessmentsWithoutAuthorization"},
    {"firstLog", "containerMappingSteps"},
    {"listAvailableWithoutAuthorization", "provisioningAfterLoss", "tokenExchangeMessage"},
)
"""Variants that hide each other: of each set at most one is drawn."""


def draw(seed: int) -> list[tuple[str, str]]:
    """Return ten alternatives of different variants that do not hide each other."""
    generator = random.Random(seed)  # noqa: S311 - the seed repeats a run
    chosen: dict[str, str] = {}
    pool = [pair for pair in ALTERNATIVES if pair not in NOT_SHOWN and pair not in INDISTINCT and pair not in OVERRIDES]
    generator.shuffle(pool)
    for name, value in pool:
        hidden = {other for group in CONFLICTS if name in group for other in group}
        is_free = name not in chosen and not hidden & chosen.keys() and not name.startswith(("assessment", "graph"))
        if is_free and len(chosen) < 10:
            chosen[name] = value
    return sorted(chosen.items())


@pytest.mark.parametrize("seed", [SEED])
async def test_ten_variants_are_found_and_nothing_else(seed: int) -> None:
    choices = dict(draw(seed))
    assert len(choices) == 10
    differing, _ = await observe(choices)
    assert {name: text.partition(" (")[0] for name, text in differing.items()} == choices


async def test_the_requests_cost_no_more_than_the_plan_says(tenant: TenantInMemory) -> None:
    for probe in all_probes(write=True):
        before = TenantInMemory()
        await before.age()
        result = await before.run(write=True, probes=(probe,))
        spent = Cost()
        for exchange in result.session.exchanges:
            is_query = exchange.path.endswith("/Microsoft.ResourceGraph/resources")
            is_read = exchange.method == "GET"
            arm = exchange.service in {"arm", "authority"}
            spent += Cost(
                reads=int(arm and is_read),
                writes=int(arm and not is_read and not is_query),
                queries=int(is_query),
                azure_devops=int(not arm),
            )
        limits = (probe.cost.reads, probe.cost.writes, probe.cost.queries, probe.cost.azure_devops)
        used = (spent.reads, spent.writes, spent.queries, spent.azure_devops)
        assert all(number <= limit for number, limit in zip(used, limits, strict=True)), (probe.name, used, limits)


@pytest.mark.parametrize("concurrency", VARIANTS["concurrentOperations"].values)
async def test_an_interruption_restores_before_it_ends(concurrency: str) -> None:
    tenant = TenantInMemory({"concurrentOperations": concurrency})
    await tenant.age()
    before = await connectors(tenant)

    async def handle(request: httpx.Request) -> httpx.Response:
        answer = await tenant.handle(request)
        if b"acceptance-kit-unknown" in request.content:  # accepted: the selection becomes another one
            raise asyncio.CancelledError
        return answer

    file = tenant.file(expendableConnector="trial")
    expendable = (file.subscription, file.resource_group, "trial")
    (probe,) = [probe for probe in all_probes(write=True) if probe.changes]
    transport = httpx.MockTransport(handle)
    with pytest.raises(Interrupted) as interruption:
        await run_kit(file, transport, tenant.tokens, tenant.clock(), expendable=expendable, probes=(probe,))
    assert interruption.value.restore_failure == ""
    assert await connectors(tenant) == before
    assert len(await tenant.effects()) > 3


async def test_annotations_that_somebody_disabled_do_not_hide_what_is_not_configured() -> None:
    tenant = TenantInMemory({"annotationsDefault": "none"})
    await tenant.age()
    connector = f"/subscriptions/{FILE['subscription']}/resourceGroups/{FILE['resourceGroup']}/providers"
    connector += f"/Microsoft.Security/securityConnectors/{FILE['connector']}"
    remediation = {"state": "Disabled", "categoryConfigurations": [], "inheritFromParentState": "Disabled"}
    organization = f"{connector}/devops/default/azureDevOpsOrgs/{FILE['organization']}"
    body = {"properties": {"actionableRemediation": remediation}}
    answer = await tenant.direct.arm("PATCH", organization, body, token=await tenant.tokens.token("arm"))
    assert answer.status == 202
    tenant.direct.move(60, wall=60)
    (probe,) = [probe for probe in all_probes(write=False) if probe.name == "organizations"]
    result = await tenant.run(probes=(probe,))
    assert set(result.by_verdict(Verdict.DIFFERS)) == {"annotationsDefault"}


async def test_two_operations_that_did_not_overlap_show_nothing() -> None:
    tenant = TenantInMemory()
    await tenant.age()

    async def handle(request: httpx.Request) -> httpx.Response:
        answer = await tenant.handle(request)
        if request.method == "PATCH":
            tenant.direct.move(HOUR)  # every operation has ended before the next request
        return answer

    file = tenant.file(expendableConnector="trial")
    expendable = (file.subscription, file.resource_group, "trial")
    (probe,) = [probe for probe in all_probes(write=True) if probe.changes]
    transport = httpx.MockTransport(handle)
    result = await run_kit(file, transport, tenant.tokens, tenant.clock(), expendable=expendable, probes=(probe,))
    assert result.by_verdict(Verdict.DIFFERS) == {}
    assert "lastWins or conflict" in result.by_verdict(Verdict.UNKNOWN)["concurrentOperations"]


@pytest.mark.parametrize(
    ("name", "value", "hours", "observed"),
    [
        ("provisioningAfterLoss", "unchanged", 1, ""),
        ("provisioningAfterLoss", "unchanged", 11, "unchanged"),
        ("assessmentsWithoutAuthorization", "stale", 1, "stale or moving or vanish"),
        ("assessmentsWithoutAuthorization", "stale", 20, "stale or vanish"),
        ("assessmentsWithoutAuthorization", "stale", 28, "stale"),
        ("assessmentsWithoutAuthorization", "vanish", 20, ""),
        ("assessmentsWithoutAuthorization", "vanish", 28, "vanish"),
    ],
)
async def test_a_loss_shows_its_consequences_only_after_a_while(
    name: str, value: str, hours: float, observed: str
) -> None:
    tenant = TenantInMemory({name: value})
    await tenant.age()
    since = datetime.fromtimestamp(tenant.direct.clock.wall() - hours * HOUR, UTC)
    (probe,) = [probe for probe in all_probes(write=False) if probe.name == "authorization"]
    lost = {"connector": "contoso-left", "since": since.isoformat()}
    result = await tenant.run(probes=(probe,), lost=lost)
    (row,) = [row for row in result.rows if row.variant == name]
    assert row.observed == observed, row.evidence
