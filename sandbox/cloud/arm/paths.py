"""Resource ids: parsing the paths of Resource Manager."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

__all__ = ["ResourcePath", "parse_path"]


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """A parsed path.

    Attributes:
        id: the path in the spelling of the request, with a leading slash.
        scope: everything in front of the last `/providers/`.
        subscription: id in lower case; None at tenant level.
        group: resource group in the spelling of the request.
        namespace: provider namespace in the spelling of the request.
        type: full type in lower case, such as `microsoft.security/securityconnectors/devops`.
        names: one for each type segment; one less where the path names a collection or an action.
    """

    id: str
    scope: str
    subscription: str | None
    group: str | None
    namespace: str
    type: str
    names: tuple[str, ...]
    is_item: bool

    @property
    def type_name(self) -> str:
        """The type without its namespace, in the spelling of the request."""
        segments = self.id[len(self.scope) :].split("/")[3:]
        return "/".join(segments[0::2])

    def ancestor(self, level: int) -> str:
        """Id of the resource `level` type segments deep, in the spelling of the request."""
        prefix = self.scope.count("/") + 2
        return "/".join(self.id.split("/")[: prefix + 2 * level + 1])


@lru_cache(maxsize=16_384)
def parse_path(path: str) -> ResourcePath | None:
    """Parse a path; None if it is not a Resource Manager path. Cached, because clients repeat the same few paths."""
    segments = [part for part in path.split("/") if part]
    lowered = [segment.lower() for segment in segments]
    subscription, group = _scope(segments, lowered)
    # The last "providers" counts: extension resources such as role assignments have two.
    position = len(lowered) - 1 - lowered[::-1].index("providers") if "providers" in lowered else None
    identifier = "/" + "/".join(segments)
    if position is None or position == len(segments) - 1:  # …/providers without a namespace is a collection
        return _without_provider(identifier, segments, lowered)
    types_and_names = segments[position + 2 :]
    namespace = segments[position + 1]
    types = types_and_names[0::2]
    scope = "/" + "/".join(segments[:position]) if position else ""
    return ResourcePath(
        identifier,
        scope,
        subscription,
        group,
        namespace,
        "/".join([namespace, *types]).lower(),
        # Types and names alternate; an odd number means a collection or an action.
        tuple(types_and_names[1::2]),
        is_item=len(types_and_names) % 2 == 0,
    )


def _scope(segments: list[str], lowered: list[str]) -> tuple[str | None, str | None]:
    """Subscription and resource group at the head of a path."""
    if lowered[:1] != ["subscriptions"]:
        return None, None
    subscription = "".join(lowered[1:2]) or None
    group = "".join(segments[3:4]) if lowered[2:3] == ["resourcegroups"] else ""
    return subscription, group or None


def _without_provider(identifier: str, segments: list[str], lowered: list[str]) -> ResourcePath | None:
    """Subscriptions, tenants and resource groups, which belong to `Microsoft.Resources`."""
    shape = lowered[0::2]
    if shape not in (
        ["subscriptions"],
        ["subscriptions", "resourcegroups"],
        ["tenants"],
        ["subscriptions", "locations"],
        ["subscriptions", "providers"],
        ["subscriptions", "resources"],
        ["subscriptions", "resourcegroups", "resources"],
        ["providers"],
    ):
        return None
    subscription, group = _scope(segments, lowered)
    names = tuple(segments[1::2])
    is_item = len(segments) % 2 == 0
    kind = "/".join(["microsoft.resources", *shape])
    return ResourcePath(identifier, "", subscription, group, "Microsoft.Resources", kind, names, is_item)
