"""Worlds and specs for properties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml
from hypothesis import strategies as st

from defender_devops.api.organization import DevOpsOrganization
from defender_devops.reconcile.facts.snapshot import AuthorizationCode
from tests.unit.reconcile.azure_model import Azure
from tests.unit.reconcile.builder import NOW, resource, snapshot

NAMES = ("contoso", "fabrikam", "tailspin", "Wingtip")
READERS = ("44444444-4444-4444-4444-444444444444", "55555555-5555-5555-5555-555555555555")
CODES = ("c" * 64, "d" * 64, "e" * 64)


@dataclass(frozen=True)
class UserEdit:
    """What users ask for at one time.

    Attributes:
        spec: of the connector.
        declared: specs of the DevOpsOrganizations that they declare, by organization.
        code: hash of the one-time code that lies in the Secret.
    """

    spec: Mapping[str, Any]
    declared: Mapping[str, Mapping[str, Any]]
    code: str | None

    def apply(self, azure: Azure) -> None:
        """Edit the resources; what the operator generated stays, and so does status."""
        connector = azure.world.connector
        fresh = snapshot(yaml.safe_dump({"spec": dict(self.spec)})).connector
        generation = connector.metadata.generation + 1
        azure.world = replace(
            azure.world,
            connector=connector.model_copy(
                update={
                    "spec": fresh.spec,
                    "metadata": connector.metadata.model_copy(update={"generation": generation}),
                }
            ),
            organizations=tuple(self._organizations(azure.world.organizations)),
            code=AuthorizationCode(self.code),
        )

    def _organizations(self, present: tuple[DevOpsOrganization, ...]) -> list[DevOpsOrganization]:
        previous = {resource.spec.organization: resource for resource in present if not resource.is_generated}
        resources = []
        for organization, spec in self.declared.items():
            new = resource(organization, {"name": f"declared-{organization.lower()}", **spec})
            old = previous.get(organization)
            resources.append(new if old is None else old.model_copy(update={"spec": new.spec}))
        return [*(resource for resource in present if resource.is_generated), *resources]


_NAME_LISTS = st.lists(st.sampled_from(NAMES), unique=True, max_size=3)
_MODES = st.one_of(
    st.fixed_dictionaries({"mode": st.just("Selected"), "names": _NAME_LISTS}),
    st.fixed_dictionaries({"mode": st.sampled_from(["All", "AllAndFuture"]), "exclude": _NAME_LISTS}),
)
_ANNOTATIONS = st.one_of(
    st.just({"mode": "Disabled"}),
    st.fixed_dictionaries({"mode": st.just("Enabled"), "minimumSeverity": st.sampled_from(["High", "Low"])}),
)
_SCANNING = st.fixed_dictionaries(
    {"mode": st.sampled_from(["Enabled", "Disabled"]), "scanners": st.sampled_from([["gitleaks"], ["bandit"]])}
)
_TAGS = st.dictionaries(st.sampled_from(["team", "costs"]), st.sampled_from(["red", "blue"]))
_READERS = st.lists(
    st.fixed_dictionaries({"objectId": st.sampled_from(READERS), "principalType": st.just("Group")}),
    unique_by=lambda reader: reader["objectId"],
)
_AUTHORIZATIONS = st.sampled_from(
    [
        {"method": "Adopt"},
        {"method": "Code", "codeSecretRef": {"name": "defender-code", "key": "code"}},
    ]
)
SPECS = st.fixed_dictionaries(
    {
        "organizations": _MODES,
        "azure": st.fixed_dictionaries({"tags": _TAGS}),
        "pullRequestAnnotations": _ANNOTATIONS,
        "agentlessScanning": _SCANNING,
        "securityReaders": _READERS,
        "authorization": _AUTHORIZATIONS,
    }
)
DECISIONS = st.dictionaries(
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {"onboarding": st.sampled_from(["Onboarded", "Excluded", "Inherit"])},
        optional={"pullRequestAnnotations": _ANNOTATIONS},
    ),
    max_size=3,
)
USER_EDITS = st.builds(UserEdit, SPECS, DECISIONS, st.sampled_from([None, *CODES]))
VISIBLE = st.dictionaries(st.sampled_from(NAMES[:3]), st.booleans())
"""Organizations and whether another connector holds them; Wingtip is never there."""


@st.composite
def clusters(draw: st.DrawFn) -> Azure:
    """An Azure with or without a connector, and a resource without a status."""
    visible = draw(VISIBLE)
    exists = draw(st.booleans())
    readers = draw(st.dictionaries(st.sampled_from(READERS), st.just("theirs")))
    onboarded = (
        draw(st.sets(st.sampled_from(sorted(name for name, is_held in visible.items() if not is_held))))
        if any(not is_held for is_held in visible.values())
        else set()
    )
    azure = {
        "owner": draw(st.sampled_from(["nobody", "dead"])),
        "tags": draw(st.dictionaries(st.sampled_from(["env", "Zone"]), st.just("x"))),
        "configuration": {"autoDiscovery": draw(st.sampled_from(["Enabled", "Disabled"]))},
        "readers": readers,
        "organizations": {"contoso": None, "fabrikam": None} | dict.fromkeys(sorted(onboarded), "Onboarded"),
        "others": {name: "Held" if is_held else "Free" for name, is_held in visible.items() if name not in onboarded},
    }
    world = snapshot(yaml.safe_dump({"status": None, "resources": None, "azure": azure if exists else None}))
    return Azure(world, visible, NOW)
