"""`spec.organizations` of a connector: the Azure DevOps organizations that Defender for Cloud covers."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from defender_devops.api.schema.fields import ORGANIZATIONS_MAX, OrganizationName
from defender_devops.api.schema.model import ApiModel
from defender_devops.api.schema.rules import Rule


class OrganizationsMode(StrEnum):
    """How organizations are selected."""

    ALL = "All"
    ALL_AND_FUTURE = "AllAndFuture"
    SELECTED = "Selected"


def _folded(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}


def _unique(field: str) -> Rule:
    return Rule(
        cel="self.all(name, self.exists_one(other, other.lowerAscii() == name.lowerAscii()))",
        message=f"{field} lists an organization more than once (names are case-insensitive): remove one",
        message_expression=(
            f"'{field} lists ' + self.filter(name, !self.exists_one(other, other.lowerAscii() == name.lowerAscii()))[0]"
            " + ' more than once (names are case-insensitive): remove one'"
        ),
        holds=lambda names: len(_folded(names)) == len(names),
    )


_OrganizationNames = Annotated[
    tuple[OrganizationName, ...],
    Field(max_length=ORGANIZATIONS_MAX, json_schema_extra={"x-kubernetes-list-type": "set"}),
]


class OverridesPolicy(StrEnum):
    """Whether DevOpsOrganizations may overrule the connector."""

    ALLOW = "Allow"
    DENY = "Deny"


class Organizations(ApiModel):
    """Which organizations are onboarded."""

    mode: OrganizationsMode
    """All: those that the authorizing account sees now. AllAndFuture: those, and what is added later. Selected: those
    in names, and those that a DevOpsOrganization asks for."""

    names: Annotated[_OrganizationNames, _unique("names")] = ()
    """Organizations to onboard, in any case. With mode Selected only."""

    exclude: Annotated[_OrganizationNames, _unique("exclude")] = ()
    """Organizations to exclude, in any case. With modes All and AllAndFuture only. Defender for Cloud has no
    exclusions, so with AllAndFuture the operator maintains the list of organizations itself: a new organization is
    onboarded within one refresh interval, and not while the operator is down."""

    overrides: OverridesPolicy = OverridesPolicy.ALLOW
    """Allow: onboarding of a DevOpsOrganization takes precedence over mode, names and exclude. Deny: it has no effect,
    so whoever may write a DevOpsOrganization in this namespace cannot onboard an excluded organization."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.names) || !has(self.exclude) || "
            "!self.names.exists(name, self.exclude.exists(other, other.lowerAscii() == name.lowerAscii()))",
            message="an organization is in names and in exclude: remove it from one of them",
            holds=lambda organizations: _folded(organizations.names).isdisjoint(_folded(organizations.exclude)),
            field=".exclude",
        ),
        Rule(
            cel="self.mode == 'Selected' || !has(self.names) || size(self.names) == 0",
            message="names is for mode Selected only: remove names, or set mode to Selected",
            holds=lambda organizations: organizations.mode is OrganizationsMode.SELECTED or not organizations.names,
            field=".names",
            reason="FieldValueForbidden",
        ),
        Rule(
            cel="self.mode != 'Selected' || !has(self.exclude) || size(self.exclude) == 0",
            message="exclude is for modes All and AllAndFuture only: remove exclude, or leave them out of names",
            holds=lambda organizations: (
                organizations.mode is not OrganizationsMode.SELECTED or not organizations.exclude
            ),
            field=".exclude",
            reason="FieldValueForbidden",
        ),
    )

    @property
    def selected_names(self) -> frozenset[str]:
        """Names of `names`, in lower case."""
        return frozenset(_folded(self.names))

    @property
    def excluded_names(self) -> frozenset[str]:
        """Names of `exclude`, in lower case."""
        return frozenset(_folded(self.exclude))
