"""Profile, accounts, identities, groups, access levels, extensions: the hosts beside dev.azure.com."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.devops.call import DevOpsCall, api_version, listing
from sandbox.cloud.devops.errors import DevOpsError, not_found
from sandbox.cloud.devops.identities import WELL_KNOWN_ADMINISTRATORS, Identities, Person, identity_id
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.devops import (
    CODE_SEARCH_EXTENSION,
    CONTAINER_MAPPING_EXTENSION,
    DevOpsGroup,
    Extension,
    License,
    Member,
)
from sandbox.cloud.world.identifiers import derived_id
from sandbox.cloud.world.pipelines.tasks import SECURITY_DEVOPS_EXTENSION

__all__ = [
    "accounts",
    "descriptor_of",
    "entitlement",
    "find_identities",
    "installed_extensions",
    "list_groups",
    "list_users",
    "memberships",
    "profile",
    "service_principal_entitlement",
]

_GROUPS_PER_PAGE = 100
_CREATED = "2023-12-07T06:38:36.35Z"


def profile(call: DevOpsCall) -> Reply:
    """GET _apis/profile/profiles/me: the id is the one of Azure DevOps, not Entra's object id."""
    person = call.person
    body = {
        "displayName": person.display_name,
        "publicAlias": person.id,
        "emailAddress": person.name if person.is_user else "",
        "coreRevision": 1,
        "timeStamp": _CREATED,
        "id": person.id,
        "revision": 1,
    }
    return json_reply(body)


def accounts(call: DevOpsCall) -> Reply:
    """GET _apis/accounts: organizations of a person; empty for a service principal; an array without api-version."""
    member_id = call.request.query.get("memberId") or call.request.query.get("ownerId")
    if member_id is None:
        message = "Value cannot be null. Parameter name: memberId or ownerId"
        raise DevOpsError(400, "ArgumentNullException", message)
    organizations: list[dict[str, Any]] = []
    if call.person.is_user and member_id.lower() == call.person.id:
        organizations = [
            {
                "accountId": organization.id,
                "accountUri": f"https://vssps.dev.azure.com/{organization.name}/",
                "accountName": organization.name,
                "properties": {},
            }
            for organization in call.world.organizations.values()
            if call.person.object_id in organization.members
        ]
    return json_reply(organizations) if api_version(call.request) is None else listing(organizations)


# --- identities and groups


def find_identities(call: DevOpsCall) -> Reply:
    """GET _apis/identities: by ids, by descriptors, or by a search; null for an unknown one."""
    query, identities = call.request.query, call.identities
    membership = query.get("queryMembership", "none")
    if "identityIds" in query:
        people = [identities.member(part.strip()) for part in query["identityIds"].split(",")]
        return listing([None if person is None else identities.render_person(person, membership) for person in people])
    if "descriptors" in query:
        parts = query["descriptors"].split(",")
        return listing([_by_descriptor(identities, part.strip(), membership) for part in parts])
    if "searchFilter" in query:
        term = query.get("filterValue", "").lower()
        matches = [
            member for member in identities.members() if term in (member.name.lower(), member.display_name.lower())
        ]
        return listing([identities.render_person(person, membership) for person in matches])
    message = "The request has to name identityIds, descriptors, subjectDescriptors or a searchFilter."
    raise DevOpsError(400, "IdentityExpressionException", message)


def _by_descriptor(identities: Identities, descriptor: str, membership: str) -> dict[str, Any] | None:
    for group in identities.groups():
        descriptors = {identities.group_descriptor(group).lower()}
        # The well-known descriptor works in every organization, whatever the number in the real one.
        if group.administrators and group.name == identities.administrators().name:
            descriptors.add(WELL_KNOWN_ADMINISTRATORS.lower())
        if descriptor.lower() in descriptors:
            return identities.render_group(group, membership)
    person = next((member for member in identities.members() if member.descriptor.lower() == descriptor.lower()), None)
    return None if person is None else identities.render_person(person, membership)


def list_groups(call: DevOpsCall) -> Reply:
    """GET _apis/graph/groups."""
    identities = call.identities
    position = call.number("continuationToken", 0)
    groups = identities.groups()
    part = groups[position : position + _GROUPS_PER_PAGE]
    more = position + _GROUPS_PER_PAGE < len(groups)
    headers = {"X-MS-ContinuationToken": str(position + _GROUPS_PER_PAGE)} if more else None
    return listing([_graph_group(call, identities, group) for group in part], headers)


def _graph_group(call: DevOpsCall, identities: Identities, group: DevOpsGroup) -> dict[str, Any]:
    return {
        "subjectKind": "group",
        "domain": f"vstfs:///Framework/IdentityDomain/{call.current_organization.id}",
        "principalName": identities.principal_name(group),
        "mailAddress": None,
        "origin": "vsts",
        "originId": derived_id("azure-devops-group", call.current_organization.id, group.name),
        "displayName": group.name,
        "descriptor": identities.group_subject(group),
    }


def list_users(call: DevOpsCall) -> Reply:
    """GET _apis/graph/users."""
    return listing([_graph_user(person) for person in call.identities.members()])


def _graph_user(person: Person) -> dict[str, Any]:
    return {
        "subjectKind": "user" if person.is_user else "servicePrincipal",
        "domain": person.tenant_id,
        "principalName": person.name,
        "mailAddress": person.name if person.is_user else "",
        "origin": "aad",
        "originId": person.object_id,
        "displayName": person.display_name,
        "descriptor": person.subject,
    }


def memberships(call: DevOpsCall) -> Reply:
    """GET _apis/graph/memberships/{subject}: one level up or down."""
    identities, subject = call.identities, call.names["subject"]
    group = next(
        (candidate for candidate in identities.groups() if identities.group_subject(candidate) == subject), None
    )
    person = identities.by_subject(subject)
    if group is None and person is None:
        message = f"VS860016: Could not find a storage key for subject descriptor '{subject}'."
        raise not_found(message, "GraphSubjectNotFoundException")
    if call.request.query.get("direction", "up").lower() == "down":
        return listing([] if group is None else _members_of(identities, group))
    containers = identities.containers(group) if group is not None else identities.containers(person or call.person)
    return listing(
        [
            {"containerDescriptor": identities.group_subject(container), "memberDescriptor": subject}
            for container in containers
        ]
    )


def _members_of(identities: Identities, group: DevOpsGroup) -> list[dict[str, str]]:
    container = identities.group_subject(group)
    people = (identities.person(object_id) for object_id in sorted(group.members))
    subjects = [person.subject for person in people if person is not None]
    nested = {name.lower() for name in group.groups}
    subjects += [
        identities.group_subject(nested_group)
        for nested_group in identities.groups()
        if nested_group.name.lower() in nested
    ]
    return [{"containerDescriptor": container, "memberDescriptor": subject} for subject in subjects]


def descriptor_of(call: DevOpsCall) -> Reply:
    """GET _apis/graph/descriptors/{storageKey}: subject descriptor of an identity."""
    person = call.identities.member(call.names["key"])
    if person is None:
        message = f"VS860018: Could not find a subject for storage key '{call.names['key']}'."
        raise not_found(message, "StorageKeyNotFoundException")
    return json_reply({"value": person.subject})


# --- access levels


def entitlement(call: DevOpsCall) -> Reply:
    """GET _apis/userentitlements/{id}."""
    return _entitlement(call, is_user=True)


def service_principal_entitlement(call: DevOpsCall) -> Reply:
    """GET _apis/serviceprincipalentitlements/{id}."""
    return _entitlement(call, is_user=False)


def _entitlement(call: DevOpsCall, *, is_user: bool) -> Reply:
    identifier = call.names["id"].lower()
    member = next(
        (
            candidate
            for candidate in call.current_organization.members.values()
            if identity_id(candidate.object_id) == identifier
        ),
        None,
    )
    person = None if member is None else call.identities.person(member.object_id)
    if member is None or person is None or person.is_user != is_user:
        message = f"VS403374: The user with id '{call.names['id']}' could not be found."
        raise not_found(message, "MemberNotFoundException")
    body = {
        "id": person.id,
        "user" if is_user else "servicePrincipal": _graph_user(person),
        "accessLevel": _access_level(member),
        "lastAccessedDate": _CREATED if member.signed_in else "0001-01-01T00:00:00Z",
        "dateCreated": _CREATED,
        "projectEntitlements": [],
        "extensions": [],
        "groupAssignments": [],
    }
    return json_reply(body)


_LICENSES = {
    License.EXPRESS: ("account", "express", "none", "Basic"),
    License.ADVANCED: ("account", "advanced", "none", "Basic + Test Plans"),
    License.STAKEHOLDER: ("account", "stakeholder", "none", "Stakeholder"),
    License.MSDN: ("msdn", "none", "enterprise", "Visual Studio Enterprise subscription"),
}


def _access_level(member: Member) -> dict[str, Any]:
    source, account_license, subscription, display_name = _LICENSES[member.license]
    return {
        "licensingSource": source,
        "accountLicenseType": account_license,
        "msdnLicenseType": subscription,
        "licenseDisplayName": display_name,
        "status": member.access_status,
        "statusMessage": "",
        "assignmentSource": "unknown",
    }


# --- extensions


def installed_extensions(call: DevOpsCall) -> Reply:
    """GET _apis/extensionmanagement/installedextensions."""
    with_disabled = call.request.query.get("includeDisabledExtensions", "true").lower() == "true"
    extensions = [
        extension
        for extension in call.current_organization.extensions
        if with_disabled or "disabled" not in extension.flags
    ]
    return listing([_extension(extension) for extension in extensions])


_EXTENSION_NAMES = {
    CONTAINER_MAPPING_EXTENSION: "Defender for Cloud code to cloud",
    SECURITY_DEVOPS_EXTENSION: "Microsoft Security DevOps",
    CODE_SEARCH_EXTENSION: "Code Search",
}


def _extension(extension: Extension) -> dict[str, Any]:
    name = (extension.publisher_id, extension.extension_id)
    return {
        "extensionId": extension.extension_id,
        "extensionName": _EXTENSION_NAMES.get(name, extension.extension_id),
        "publisherId": extension.publisher_id,
        "publisherName": "Microsoft" if extension.publisher_id == "ms" else "Microsoft Security DevOps",
        "version": extension.version,
        "registrationId": derived_id("extension", extension.publisher_id, extension.extension_id),
        "manifestVersion": 1,
        "baseUri": "",
        "scopes": ["vso.build"],
        "contributions": [],
        "installState": {"flags": extension.flags, "lastUpdated": _CREATED},
        "lastPublished": _CREATED,
        "files": [],
    }
