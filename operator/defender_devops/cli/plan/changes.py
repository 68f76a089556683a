"""Values that an action changes in Azure, before and after. Pure."""

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

__all__ = ["Change", "action_sign", "changes"]

_SIGNS: Final[Mapping[type[Action], str]] = {
    CreateConnector: "+",
    AssignReader: "+",
    RemoveReader: "-",
    DeleteConnector: "-",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One changed value. The attributes are fields of the JSON output.

    Attributes:
        field: name of the value in Azure.
        before: current value; None if there is none.
        after: new value; None if the value is removed.
    """

    field: str
    before: str | None
    after: str | None


def action_sign(action: Action) -> str:
    """Return `+` for an action that creates something, `-` for one that removes something, else `~`."""
    return _SIGNS.get(type(action), "~")


def changes(action: Action, azure: AzureState) -> tuple[Change, ...]:
    """Return what an action changes; nothing where the action's description is complete."""
    match action:
        case CreateConnector():
            return tuple(_tags({}, action.tags))
        case SetTags():
            return tuple(_tags(azure.connector.tags if azure.connector else {}, action.tags))
        case Authorize() | UpdateConfiguration():
            return tuple(_configuration(action, azure))
        case SetAnnotations():
            current = {organization.name.lower(): organization.annotations for organization in azure.organizations}
            annotations = current.get(action.organization.lower())
            current_text = _annotations(annotations) if annotations is not None else None
            return (Change("actionableRemediation", current_text, _annotations(action.annotations)),)
        case _:
            return ()


def _tags(current: Mapping[str, str], desired: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(current.keys() | desired.keys()):
        if current.get(name) != desired.get(name):
            yield Change(f"tags.{name}", current.get(name), desired.get(name))


def _configuration(action: Authorize | UpdateConfiguration, azure: AzureState) -> Iterator[Change]:
    current = azure.configuration
    if action.auto_discovery is not None:
        current_mode = str(current.auto_discovery) if current is not None else None
        if current_mode != action.auto_discovery:
            yield Change("autoDiscovery", current_mode, str(action.auto_discovery))
    if action.organizations is not None:
        onboarded = {
            organization.name.lower(): organization.name
            for organization in azure.organizations
            if desired_state.is_onboarded(organization)
        }
        desired = {name.lower(): name for name in action.organizations}
        for key in sorted(onboarded.keys() ^ desired.keys()):
            is_added = key in desired
            name = desired.get(key) or onboarded[key]
            yield Change(f"organizations.{name}", None if is_added else "onboarded", "onboarded" if is_added else None)
    elif isinstance(action, Authorize):
        yield Change("organizations", None, "all that the authorizing account can see")
    if action.agentless is not None:
        current_text = _agentless(current.agentless) if current and current.agentless else None
        yield Change("agentlessConfiguration", current_text, _agentless(action.agentless))


def _agentless(configuration: AgentlessConfiguration) -> str:
    if not configuration.enabled:
        return "off"
    scope = ", ".join(item.value for item in configuration.inventory)
    kind = "all but" if configuration.inventory_list_type == "Exclusion" else "only"
    return f"on, {kind} {scope}" if scope else "on"


def _annotations(annotations: Annotations) -> str:
    return f"on, severity {annotations.minimum_severity} and above" if annotations.enabled else "off"
