"""Probe `organizations`: what the connector has onboarded, and what its authorization can access."""

from __future__ import annotations

from typing import Final

from acceptance.checks import Check, Cost, Observation, Probe, agreement
from acceptance.session.answer import Inconclusive, member, text_of
from acceptance.tenant import Tenant, required

__all__ = ["PROBE"]

_PAGE_SIZES: Final = {10: "ten", 100: "hundred"}


async def _pages(tenant: Tenant) -> Observation:
    lists = [await tenant.organization_pages(), await tenant.project_pages()]
    lists += list((await tenant.repository_pages()).values())
    sizes = {len(pages[0]) for pages in lists if len(pages) > 1}
    if len(sizes) == 1:
        (size,) = sizes
        return Observation(_PAGE_SIZES.get(size, f"{size} items"), f"a page has {size} items")
    longest = max(len(pages[0]) for pages in lists)
    if sizes:
        return Observation("different sizes", f"pages of {', '.join(map(str, sorted(sizes)))} items")
    if longest > max(_PAGE_SIZES):
        return Observation("all", f"one page has {longest} items")
    if longest > min(_PAGE_SIZES):
        return Observation("hundred", f"one page has {longest} items", ("all",))
    raise Inconclusive(f"the longest list has {longest} items: a list needs more than ten")


async def _list_available(tenant: Tenant) -> Observation:
    answer = await tenant.available()
    items = answer.values()
    is_paged = bool(member(answer.json(), "nextLink"))
    counter = answer.headers.get("x-ms-ratelimit-remaining-subscription-writes", "")
    states = {text_of(item, "properties", "onboardingState") for item in items}
    evidence = f"{len(items)} organizations, {'pages' if is_paged else 'one page'}"
    return agreement(not is_paged and counter.isdecimal() and "Onboarded" in states, evidence)


async def _not_onboarded(tenant: Tenant) -> Observation:
    items = [
        item
        for item in (await tenant.available()).values()
        if text_of(item, "properties", "onboardingState") == "NotOnboarded"
        and not text_of(item, "properties", "provisioningState")  # tried, and failed
    ]
    if not items:
        raise Inconclusive("the account has no organization that is not onboarded")
    holds = all(member(item, "properties", "actionableRemediation") == {"state": "None"} for item in items)
    return agreement(holds, f"{len(items)} organizations are not onboarded")


async def _annotations(tenant: Tenant) -> Observation:
    states = {
        text_of(item, "properties", "actionableRemediation", "state").lower() for item in await tenant.organizations()
    }
    # Somebody may have disabled those of one organization: then the others show what is not configured.
    if "none" in states:
        return Observation("none", "an onboarded organization has None")
    if "disabled" in states:
        return Observation("disabled", "an onboarded organization has Disabled, and none has None")
    raise Inconclusive("every organization has annotations that somebody configured, or there is none")


async def _inheritance(tenant: Tenant) -> Observation:
    inherits = {
        text_of(item, "properties", "actionableRemediation", "inheritFromParentState")
        for item in await tenant.projects()
    }
    return agreement("Enabled" in inherits, f"inheritFromParentState of projects: {', '.join(sorted(inherits))}")


async def _not_administered(tenant: Tenant) -> Observation:
    name = required(tenant.file.organization_not_administered, "organizationNotAdministered")
    matches = [item for item in await tenant.organizations() if text_of(item, "name").lower() == name.lower()]
    if not matches:
        return Observation("missing", "is not in the list")
    state, onboarding = (text_of(matches[0], "properties", key) for key in ("provisioningState", "onboardingState"))
    evidence = f"onboardingState {onboarding}, provisioningState {state}"
    if state != "Failed":
        return Observation("something else", evidence)
    return Observation("notOnboarded" if onboarding == "NotOnboarded" else "failed", evidence)


PROBE: Final = Probe(
    "organizations",
    "the connector's organizations, some projects and repositories, and the organizations of its authorization",
    Cost(reads=80, writes=1),
    (
        Check("organizations, projects, repositories: ten to a page", _pages, "listPages"),
        Check("listAvailable: not paged, counts as a write", _list_available),
        Check("listAvailable: a NotOnboarded organization", _not_onboarded),
        Check("annotations: Disabled where not configured", _annotations, "annotationsDefault"),
        Check("annotations: Disabled where not configured", _inheritance),
        Check(
            "an organization that the account does not administer",
            _not_administered,
            "organizationsWithoutAdministrator",
        ),
    ),
)
