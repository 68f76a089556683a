"""Specs that are drawn from the CRDs' schemas: valid ones, ones at the bounds, and ones that somebody refuses."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from defender_devops.api.connector import InvalidManifest, parse_connector
from tests.support.scenarios.scenario import connector_manifest

__all__ = ["ORGANIZATIONS", "draw_any_spec", "draw_organization_spec", "draw_valid_spec"]

JSON = Any

ORGANIZATIONS: Final = ("contoso", "fabrikam", "tailspin", "northwind", "adventure-works", "wingtip-toys")
"""The organizations that the authorizing account can access."""

_CRDS: Final = Path(__file__).parents[3] / "deploy" / "crds"

_FIXED: Final = frozenset({"authorization", "signIn", "pipelineChecks"})
"""Blocks of a connector that need Secrets or a browser: plans leave them as they are."""

_TRANSIENT: Final = frozenset({"suspend", "managementPolicy"})
"""Fields with which nothing is written, so that the end would depend on what was there before."""

_TAGS: Final = ("team", "cost-center", "Env", "owner")
_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "names": (*ORGANIZATIONS, "Contoso", "not-there"),
    "exclude": (*ORGANIZATIONS, "FABRIKAM"),
    "organization": ORGANIZATIONS[:3],
    "project": ("first",),
    "repository": ("code",),
    "scanners": ("checkov", "bandit", "terrascan", "unfamiliar"),
    "deadline": ("15m", "8h", "168h", "1h30m"),
    "objectId": (
        "88888888-8888-8888-8888-888888888888",
        "44444444-4444-4444-4444-444444444444",
        "44444444-4444-4444-4444-44444444444A",
        "AAAAAAAA-0000-0000-0000-00000000BEEF",
    ),
}
"""Values of text fields by the name of the field; the schema knows only their length."""

_ATTEMPTS: Final = 200
_MOST_ITEMS: Final = 3


@cache
def _spec_schema(plural: str) -> dict[str, JSON]:
    (file,) = _CRDS.glob(f"*{plural}*.yaml")
    versions = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["versions"]
    schema: dict[str, JSON] = versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def draw_any_spec(random: Random) -> dict[str, JSON]:
    """Return a change of the basic spec that the API server may refuse."""
    schema = _spec_schema("azuredevopsconnectors")["properties"]
    names = [name for name in schema if name not in _FIXED | {"azure"}]
    change: dict[str, JSON] = {}
    for name in random.sample(names, random.randint(1, 4)):
        change[name] = _draw(random, name, schema[name])
    if "organizations" in change:
        # The basic spec has names, which no other mode allows.
        change["organizations"] = {"names": None, **change["organizations"]}
    if random.random() < 0.5:
        change["azure"] = {"tags": _draw_tags(random)}
    return change


def draw_valid_spec(random: Random) -> dict[str, JSON]:
    """Return a change of the basic spec that is valid, and whose end does not depend on earlier ones."""
    for _ in range(_ATTEMPTS):
        change = {name: value for name, value in draw_any_spec(random).items() if name not in _TRANSIENT}
        change.pop("deletionPolicy", None)
        if _is_valid(change):
            return change
    return {}


def draw_organization_spec(random: Random) -> dict[str, JSON]:
    """Return the spec of a DevOpsOrganization, without the connector's and the organization's names."""
    schema = _spec_schema("devopsorganizations")["properties"]
    names = [name for name in schema if name not in {"connectorRef", "organization"}]
    return {name: _draw(random, name, schema[name]) for name in random.sample(names, random.randint(0, len(names)))}


def _is_valid(change: Mapping[str, JSON]) -> bool:
    try:
        parse_connector(connector_manifest("default", change))
    except InvalidManifest:
        return False
    return True


def _draw(random: Random, name: str, schema: Mapping[str, JSON]) -> JSON:
    """Return a value of a schema; texts come from a table, as their patterns are in rules."""
    if "enum" in schema:
        return random.choice(schema["enum"])
    match schema["type"]:
        case "object":
            required = schema.get("required", ())
            properties = schema.get("properties", {})
            chosen = [entry for entry in properties if entry in required or random.random() < 0.5]
            return {entry: _draw(random, entry, properties[entry]) for entry in chosen}
        case "array":
            return _draw_items(random, name, schema)
        case "boolean":
            return random.random() < 0.5
        case "integer":
            return random.choice((schema.get("minimum", 0), schema.get("maximum", 10)))
    return random.choice(_TEXTS[name])


def _draw_items(random: Random, name: str, schema: Mapping[str, JSON]) -> list[JSON]:
    """Return few items; those of a set and of a map are different, as the API server requires."""
    keys = schema.get("x-kubernetes-list-map-keys", ())
    items: dict[str, JSON] = {}
    for _ in range(random.randint(0, _MOST_ITEMS)):
        item = _draw(random, name, schema["items"])
        items[str([item[key] for key in keys] if keys else item)] = copy.deepcopy(item)
    return list(items.values())


def _draw_tags(random: Random) -> dict[str, str]:
    """Return tags; now and then as many as the schema allows."""
    most = _spec_schema("azuredevopsconnectors")["properties"]["azure"]["properties"]["tags"]["maxProperties"]
    if random.random() < 0.1:
        return {f"tag-{number:02}": str(random.randint(0, 9)) for number in range(most)}
    # Never empty: where a manager had keys before, server-side apply makes null of an empty object (Kubernetes 1.37).
    return {name: random.choice(("blue", "green", "")) for name in random.sample(_TAGS, random.randint(1, 3))}
