"""Identities and groups of an organization. Ids and descriptors are derived, so that they are the same in every run."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.world.devops import DevOpsGroup, Organization
from sandbox.cloud.world.identifiers import derived_id
from sandbox.cloud.world.world import World

__all__ = ["ADMINISTRATORS", "WELL_KNOWN_ADMINISTRATORS", "Identities", "Person", "identity_id"]

ADMINISTRATORS = "Project Collection Administrators"
WELL_KNOWN_ADMINISTRATORS = (
    "Microsoft.TeamFoundation.Identity;S-1-9-1551374245-1204400969-2402986413-2179408616-0-0-0-0-1"
)
"""Alias of the administrators' group of any organization."""


def identity_id(object_id: str) -> str:
    """Return the id in Azure DevOps (not Entra's object id) of an account or service principal."""
    return derived_id("azure-devops-identity", object_id)


@dataclass(frozen=True, slots=True)
class Person:
    """An account or a service principal."""

    object_id: str
    tenant_id: str
    name: str
    display_name: str
    is_user: bool

    @property
    def id(self) -> str:
        """Id in Azure DevOps."""
        return identity_id(self.object_id)

    @property
    def subject(self) -> str:
        """Subject descriptor, used by the Graph API."""
        kind = "aad" if self.is_user else "aadsp"
        return f"{kind}.{_encode(self.id)}"

    @property
    def descriptor(self) -> str:
        """Identity descriptor."""
        if self.is_user:
            return f"Microsoft.IdentityModel.Claims.ClaimsIdentity;{self.tenant_id}\\{self.name}"
        return f"Microsoft.VisualStudio.Services.Claims.AadServicePrincipal;{self.tenant_id}\\{self.object_id}"


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


class Identities:
    """The identities of one organization."""

    def __init__(self, world: World, organization: Organization) -> None:
        self._world = world
        self._organization = organization

    def person(self, object_id: str) -> Person | None:
        """Return an account or service principal by Entra's object id, member or not."""
        account = self._world.directory.accounts.get(object_id)
        if account is not None:
            name = account.user_principal_name
            return Person(account.id, account.tenant_id, name, account.display_name, is_user=True)
        for application in self._world.directory.applications.values():
            if application.object_id == object_id:
                name = application.client_id
                return Person(object_id, application.tenant_id, name, application.display_name, is_user=False)
        return None

    def members(self) -> list[Person]:
        """Return all members."""
        people = (self.person(object_id) for object_id in self._organization.members)
        return [person for person in people if person is not None]

    def member(self, identifier: str) -> Person | None:
        """Return a member by its id in Azure DevOps."""
        identity = identifier.lower()
        return next((person for person in self.members() if person.id == identity), None)

    def by_subject(self, subject: str) -> Person | None:
        """Return a member by its subject descriptor."""
        return next((person for person in self.members() if person.subject == subject), None)

    # --- groups

    def groups(self) -> list[DevOpsGroup]:
        """Return all groups, the administrators first."""
        return [self.administrators(), *self._organization.groups.values()]

    def administrators(self) -> DevOpsGroup:
        """Project Collection Administrators: direct members and nested groups."""
        direct = {member.object_id for member in self._organization.members.values() if member.administrator}
        nested = {group.name for group in self._organization.groups.values() if group.administrators}
        return DevOpsGroup(ADMINISTRATORS, direct, nested, administrators=True)

    def group_descriptor(self, group: DevOpsGroup) -> str:
        """Identity descriptor of a group; it contains a number of the organization."""
        number = zlib.crc32(self._organization.id.encode())
        # The well-known group has a fixed suffix in every organization.
        if group.name == ADMINISTRATORS:
            return f"Microsoft.TeamFoundation.Identity;S-1-9-1551374245-{number}-2402986413-2179408616-0-0-0-0-1"
        group_number = zlib.crc32(group.name.lower().encode())
        return (
            f"Microsoft.TeamFoundation.Identity;S-1-9-1551374245-{number}-2402986413-2179408616-1-{group_number}-0-0-0"
        )

    def group_subject(self, group: DevOpsGroup) -> str:
        """Subject descriptor of a group."""
        return f"vssgp.{_encode(self.group_descriptor(group).partition(';')[2])}"

    def principal_name(self, group: DevOpsGroup) -> str:
        """Return the name of a group with its scope."""
        return f"[{self._organization.name}]\\{group.name}"

    def containers(self, group_or_person: DevOpsGroup | Person) -> list[DevOpsGroup]:
        """Return the groups that contain it directly."""
        if isinstance(group_or_person, Person):
            return [group for group in self.groups() if group_or_person.object_id in group.members]
        name_key = group_or_person.name.lower()
        return [group for group in self.groups() if name_key in {name.lower() for name in group.groups}]

    def all_containers(self, person: Person) -> list[DevOpsGroup]:
        """Return the groups that contain it directly or through other groups."""
        containers: dict[str, DevOpsGroup] = {}
        pending = self.containers(person)
        while pending:
            group = pending.pop()
            if group.name not in containers:
                containers[group.name] = group
                pending += self.containers(group)
        return list(containers.values())

    # --- API representation

    def render_person(self, person: Person, membership: str) -> dict[str, Any]:
        """An identity; `membership` is the parameter queryMembership."""
        groups: list[DevOpsGroup] = []
        if membership.lower() in ("direct", "expanded", "expandedup"):
            groups = self.containers(person) if membership.lower() == "direct" else self.all_containers(person)
        member = self._organization.members.get(person.object_id)
        return {
            "id": person.id,
            "descriptor": person.descriptor,
            "subjectDescriptor": person.subject,
            "providerDisplayName": person.display_name,
            "isActive": member is not None,
            "members": [],
            "memberOf": [self.group_descriptor(group) for group in groups],
            "memberIds": [],
            "properties": {
                "SchemaClassName": {"$type": "System.String", "$value": "User"},
                "Account": {"$type": "System.String", "$value": person.name},
                "Domain": {"$type": "System.String", "$value": person.tenant_id},
            },
            "resourceVersion": 2,
            "metaTypeId": 0 if person.is_user else 6,
        }

    def render_group(self, group: DevOpsGroup, membership: str) -> dict[str, Any]:
        """A group as an identity."""
        members: list[str] = []
        if membership.lower() in ("direct", "expanded", "expandeddown"):
            people = (self.person(object_id) for object_id in sorted(group.members))
            members = [person.descriptor for person in people if person is not None]
        return {
            "id": derived_id("azure-devops-group", self._organization.id, group.name),
            "descriptor": self.group_descriptor(group),
            "subjectDescriptor": self.group_subject(group),
            "providerDisplayName": self.principal_name(group),
            "isActive": True,
            "isContainer": True,
            "members": members,
            "memberOf": [self.group_descriptor(container) for container in self.containers(group)],
            "memberIds": [],
            "properties": {"SchemaClassName": {"$type": "System.String", "$value": "Group"}},
            "resourceVersion": 2,
            "metaTypeId": 255,
        }
