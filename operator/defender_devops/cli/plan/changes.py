"""What a step changes in Azure, before and after (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from defender_devops.api.azure_types import AgentlessConfiguration, Annotations
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import (
    AssignReader,
    Authorize,
    CreateConnector,
    DeleteConnector,
    RemoveReader,
    SetAnnotations,
    SetTags,
    UpdateConfiguration,
)
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.snapshot import AzureState

__all__ = ["Change", "changes", "sign"]

_SIGNS: Final[Mapping[type[Action], str]] = {
    CreateConnector: "+",
    AssignReader: "+",
    RemoveReader: "-",
    DeleteConnector: "-",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One value.

    Attributes:
        field: what it is, in Azure's terms.
        before: None where there is none.
        after: None where it goes.
    """

    field: str
    before: str | None
    after: str | None


def sign(step: Action) -> str:
    """`+` makes, `-` takes away, `~` changes."""
    return _SIGNS.get(type(step), "~")


def changes(step: Action, cloud: AzureState) -> tuple[Change, ...]:
    """What differs between Azure now and Azure after the step; nothing where its sentence says it all."""
    match step:
        case CreateConnector():
            return tuple(_tags({}, step.tags))
        case SetTags():
            return tuple(_tags(cloud.connector.tags if cloud.connector else {}, step.tags))
        case Authorize() | UpdateConfiguration():
            return tuple(_configuration(step, cloud))
        case SetAnnotations():
            present = (each for each in cloud.organizations if each.name.lower() == step.organization.lower())
            before = next((_annotations(each.annotations) for each in present), None)
            return (Change("actionableRemediation", before, _annotations(step.annotations)),)
        case _:
            return ()


def _tags(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Change(f"tags.{name}", before.get(name), after.get(name))


def _configuration(step: Authorize | UpdateConfiguration, cloud: AzureState) -> Iterator[Change]:
    present = cloud.configuration
    if step.auto_discovery is not None:
        before = str(present.auto_discovery) if present is not None else None
        if before != step.auto_discovery:
            yield Change("autoDiscovery", before, str(step.auto_discovery))
    if step.organizations is not None:
        yield from _organizations(step.organizations, cloud)
    elif isinstance(step, Authorize):
        yield Change("organizations", None, "all that the authorizing account sees")
    if step.agentless is not None:
        yield Change(
            "agentlessConfiguration", _agentless(present.agentless if present else None), _agentless(step.agentless)
        )


def _organizations(wanted: tuple[str, ...], cloud: AzureState) -> Iterator[Change]:
    """Who comes in and who goes out."""
    present = {each.name.lower(): each.name for each in cloud.organizations if desired_state.is_onboarded(each)}
    asked = {name.lower(): name for name in wanted}
    for key in sorted(present.keys() | asked.keys()):
        before = "onboarded" if key in present else None
        after = "onboarded" if key in asked else None
        if before != after:
            yield Change(f"organizations.{asked.get(key) or present[key]}", before, after)


def _agentless(configuration: AgentlessConfiguration | None) -> str | None:
    if configuration is None:
        return None
    if not configuration.enabled:
        return "off"
    scope = ", ".join(item.value for item in configuration.inventory)
    kind = "all but" if configuration.inventory_list_type == "Exclusion" else "only"
    return f"on, {kind} {scope}" if scope else "on"


def _annotations(annotations: Annotations) -> str:
    return f"on, from {annotations.minimum_severity} up" if annotations.enabled else "off"
