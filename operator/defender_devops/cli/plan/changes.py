"""Values that an action changes in Azure, before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from defender_devops.api.azure_properties import (
    AGENTLESS,
    ANNOTATIONS,
    AUTO_DISCOVERY,
    ONBOARDING,
    TAGS,
    AzureProperty,
)
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
from defender_devops.reconcile.facts.snapshot import AzureState

__all__ = ["Change", "action_sign", "plan_changes"]

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


def plan_changes(action: Action, azure: AzureState) -> tuple[Change, ...]:
    """Return what an action changes; nothing where the action's description is complete."""
    match action:
        case CreateConnector():
            return tuple(_tags({}, action.tags))
        case SetTags():
            return tuple(_tags(azure.connector.tags if azure.connector else {}, action.tags))
        case Authorize() | UpdateConfiguration():
            return tuple(_configuration(action, azure))
        case SetAnnotations():
            annotations = {organization.name.lower(): organization.annotations for organization in azure.organizations}
            current = annotations.get(action.organization.lower())
            return (Change(ANNOTATIONS.name, ANNOTATIONS.text(current), ANNOTATIONS.text(action.annotations)),)
        case _:
            return ()


def _tags(current: Mapping[str, str], desired: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(current.keys() | desired.keys()):
        if current.get(name) != desired.get(name):
            yield Change(f"{TAGS.name}.{name}", current.get(name), desired.get(name))


def _configuration(action: Authorize | UpdateConfiguration, azure: AzureState) -> Iterator[Change]:
    yield from _property(AUTO_DISCOVERY, action, azure)
    if action.organizations is not None:
        onboarded, desired = azure.onboarded, {name.lower(): name for name in action.organizations}
        for key in sorted(onboarded.keys() ^ desired.keys()):
            is_added = key in desired
            name = f"{ONBOARDING.name}.{desired.get(key) or onboarded[key]}"
            yield Change(name, None if is_added else "onboarded", "onboarded" if is_added else None)
    elif isinstance(action, Authorize):
        yield Change(ONBOARDING.name, None, "all that the authorizing account can see")
    yield from _property(AGENTLESS, action, azure)


def _property(item: AzureProperty, action: Authorize | UpdateConfiguration, azure: AzureState) -> Iterator[Change]:
    current, desired = getattr(azure.configuration, item.field, None), getattr(action, item.field)
    if desired is not None and current != desired:
        yield Change(item.name, item.text(current), item.text(desired))
