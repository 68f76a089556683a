"""What a service account may do, read from manifests of roles and bindings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

Manifest = dict[str, Any]


class Right(NamedTuple):
    """One verb on one resource."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        """As in `get apps/deployments`."""
        return f"{self.verb} {self.group}/{self.resource}" if self.group else f"{self.verb} {self.resource}"


def rights_of(manifests: list[Manifest], account: str) -> set[Right]:
    """Every right of the account, in whatever namespace and on whatever names."""
    bound = {
        (binding["roleRef"]["kind"], binding["metadata"].get("namespace", ""), binding["roleRef"]["name"])
        for binding in manifests
        if binding["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        and any(subject["kind"] == "ServiceAccount" and subject["name"] == account for subject in binding["subjects"])
    }
    return {
        right
        for role in manifests
        if (role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]) in bound
        for right in _rights(role)
    }


def _rights(role: Manifest) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield from (Right(verb, group, resource) for verb in rule["verbs"])
