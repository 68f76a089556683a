"""Types of single fields, with their bounds: without one, the API server estimates an unbounded cost for CEL rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final
from unicodedata import category

from pydantic import Field

from defender_devops.api.names import NAME_MAX_LENGTH, OWNER_TAGS
from defender_devops.api.schema.model import ApiModel
from defender_devops.api.schema.rules import Rule, pattern_rule

ORGANIZATIONS_MAX: Final = 200
"""Organizations in one list: the most for which the uniqueness rule fits into the API server's cost budget."""

TAGS_MAX: Final = 48
"""Azure allows 50 tags; two are the owner tags."""

Guid = Annotated[
    str,
    Field(max_length=64),
    pattern_rule(
        "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "must be a GUID such as 22222222-2222-2222-2222-222222222222",
    ),
]


def _is_account(value: str) -> bool:
    # RE2's \p{C} and \p{Z}: control, format (bidirectional, zero-width), surrogate and private characters; separators.
    # RE2's \p{C} does not contain unassigned characters (Cn).
    has_invisible = any(category(letter)[0] in "CZ" and category(letter) != "Cn" for letter in value)
    name, at, domain = value.partition("@")
    return not has_invisible and name != "" and at == "@" and domain != "" and "@" not in domain


Account = Annotated[
    str,
    Field(max_length=256),
    Rule(
        cel=r"self.matches(r'^[^@\p{C}\p{Z}]+@[^@\p{C}\p{Z}]+$')",
        message="must be a sign-in name such as mdc-devops-connector@contoso.com, without invisible characters",
        holds=_is_account,
    ),
]

OrganizationName = Annotated[
    str,
    Field(max_length=50),
    pattern_rule(
        "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?",
        "must be the name of an Azure DevOps organization, such as contoso: letters, digits and hyphens, no address",
    ),
]
"""learn.microsoft.com/azure/devops/organizations/settings/naming-restrictions: letters, digits, hyphens; at most 50."""

OBJECT_NAME: Final = pattern_rule(
    "[a-z0-9]([a-z0-9.-]*[a-z0-9])?",
    "must be the name of an object in this namespace: lower-case letters, digits, hyphens and full stops",
)

ObjectName = Annotated[str, Field(max_length=NAME_MAX_LENGTH), OBJECT_NAME]
"""Name of an object in the same namespace."""

SecretKey = Annotated[
    str,
    Field(max_length=NAME_MAX_LENGTH),
    pattern_rule(
        "[A-Za-z0-9._-]+", "must be a key of the Secret: letters, digits, hyphens, underscores and full stops"
    ),
]


def _is_azure_name(value: str) -> bool:
    allowed = all(letter.isalnum() or letter in "._()-" for letter in value)
    return allowed and value != "" and not value.endswith(".")


def azure_name(field: str) -> Rule:
    """Return a rule for names that become part of an Azure resource id."""
    return Rule(
        cel=r"self.matches(r'^[\p{L}\p{N}._()-]*[\p{L}\p{N}_()-]$')",
        message=f"{field} may hold letters, digits and . _ ( ) - and must not end with a full stop",
        holds=_is_azure_name,
    )


_TAG_FORBIDDEN: Final = frozenset("<>%&\\?/")
_TAG_NAME_MAX: Final = 512
_TAG_RESERVED_PREFIXES: Final = ("azure", "microsoft", "windows")


def _tag_names_are_allowed(tags: Mapping[str, str]) -> bool:
    return not any(
        len(name) > _TAG_NAME_MAX
        or _TAG_FORBIDDEN & set(name)
        or name.lower().startswith(_TAG_RESERVED_PREFIXES)
        or not name
        for name in tags
    )


Tags = Annotated[
    dict[str, Annotated[str, Field(max_length=256)]],
    Field(max_length=TAGS_MAX),
    Rule(
        cel="!self.exists(name, name.lowerAscii() in ['defender-devops-owner', 'defender-devops-resource'])",
        message="defender-devops-owner and defender-devops-resource are the operator's own tags: choose other names",
        holds=lambda tags: OWNER_TAGS.isdisjoint(name.lower() for name in tags),
        reason="FieldValueForbidden",
    ),
    Rule(
        cel=r"self.all(name, name.matches(r'^[^<>%&\\?/]{1,512}$') && "
        r"!name.lowerAscii().matches(r'^(azure|microsoft|windows)'))",
        message=r"a tag's name has 1 to 512 characters, none of < > % & \ ? / and does not start with azure, microsoft"
        " or windows: rename the tag",
        holds=_tag_names_are_allowed,
    ),
    Rule(
        cel="self.all(name, self.exists_one(other, name.lowerAscii() == other.lowerAscii()))",
        message="tag names in Azure are case-insensitive: keep one of the names that differ by case only",
        holds=lambda tags: len({name.lower() for name in tags}) == len(tags),
    ),
]


class SecretKeyRef(ApiModel):
    """One key of a Secret in the same namespace."""

    name: ObjectName
    """Name of a Secret in the same namespace as this resource."""

    key: SecretKey
    """Key in the Secret's data whose value is used."""


class ServiceAccountRef(ApiModel):
    """A service account in the same namespace."""

    name: ObjectName
    """Name of a service account in the same namespace as this resource."""
