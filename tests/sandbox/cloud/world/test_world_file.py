"""World files: content, validation, and large generated worlds."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sandbox.cloud.clock import Clock
from sandbox.cloud.world.devops import Repositories, Repository
from sandbox.cloud.world.load import DEFAULT_WORLD, build, read_world_file
from sandbox.cloud.world.principals import UnknownName
from sandbox.cloud.world.schema import WorldFile
from tests.sandbox.cloud.direct import ACCOUNT, GROUP, ORGANIZATIONS, SUBSCRIPTION, Direct, larger_world


def document() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(DEFAULT_WORLD.read_text())
    return parsed


def test_the_default_world_has_what_the_operator_needs() -> None:
    world = build(read_world_file(DEFAULT_WORLD), Clock(0))
    assert {tenant.domain for tenant in world.directory.tenants.values()} == {"contoso.com", "litware.com"}
    assert len(world.subscriptions) == 2
    account = world.directory.account(ACCOUNT)
    assert account is not None
    assert sum(account.id in organization.members for organization in world.organizations.values()) == 6
    operator = world.directory.applications["66666666-6666-6666-6666-666666666666"]
    assert operator.federated_credentials[0].subject.endswith(":defender-devops:defender-devops-operator")


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "an unknown field": ({"planets": []}, ValidationError, "planets"),
    "no tenant": ({"tenants": None}, ValidationError, "tenants"),
    "a tenant that is not there": (
        {"subscriptions": [{"id": "x", "name": "x", "tenant": "nowhere.com"}]},
        UnknownName,
        "nowhere.com",
    ),
    "a role that is not there": (
        {"roleAssignments": [{"role": "Emperor", "principal": ACCOUNT, "scope": "/"}]},
        UnknownName,
        "Emperor",
    ),
    "a principal that is not there": (
        {"roleAssignments": [{"role": "Owner", "principal": "nobody", "scope": "/"}]},
        UnknownName,
        "nobody",
    ),
    "a negative number of repositories": (
        {"organizations": [{"name": "x", "tenant": None, "projects": [{"name": "p", "generate": -1}]}]},
        ValidationError,
        "generate",
    ),
    "an unknown access level": (
        {"organizations": [{"name": "x", "tenant": None, "members": [{"account": ACCOUNT, "license": "gold"}]}]},
        ValidationError,
        "license",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_an_invalid_file_is_rejected_with_the_reason(case: tuple[dict[str, Any], type[Exception], str]) -> None:
    changes, error, expected = case
    with pytest.raises(error, match=expected):
        build(WorldFile.parse({**document(), **changes}), Clock(0))


async def test_a_file_may_have_connectors_that_are_already_authorized() -> None:
    connector = {
        "name": "contoso",
        "subscription": SUBSCRIPTION,
        "resourceGroup": GROUP,
        "account": ACCOUNT,
        "organizations": ["northwind"],
    }
    direct = Direct(WorldFile.parse({**document(), "connectors": [connector]}))
    assert await direct.names(ORGANIZATIONS) == ["northwind"]
    assert (await direct.configuration())["provisioningState"] == "Succeeded"


def test_two_worlds_of_one_file_are_alike() -> None:
    first, second = (build(read_world_file(DEFAULT_WORLD), Clock(0)) for _ in range(2))
    assert [organization.id for organization in first.organizations.values()] == [
        organization.id for organization in second.organizations.values()
    ]
    assert [first.rng.random() for _ in range(3)] == [second.rng.random() for _ in range(3)]


async def test_a_generated_world_shares_organizations_and_repositories_out_evenly() -> None:
    spec = larger_world(connectors=4, organizations=10, projects=3, repositories=1001)
    direct = Direct(spec)
    organizations = [
        organization for name, organization in direct.world.organizations.items() if name.startswith("org-")
    ]
    counts = [len(project.repositories) for organization in organizations for project in organization.projects.values()]
    assert sum(counts) == 1001
    assert max(counts) - min(counts) <= 1
    counts_by_connector = [
        len(connector.configuration.organizations)
        for connector in direct.world.connectors.values()
        if connector.configuration
    ]
    assert sorted(counts_by_connector) == [2, 2, 3, 3]


def test_generated_organizations_may_be_of_several_accounts() -> None:
    spec = larger_world(organizations=5, organizations_per_account=2)
    world = build(spec, Clock())
    administrators = {}
    for number in range(1, 6):
        (member,) = world.organizations[f"org-{number:04}"].members
        administrators[number] = world.directory.accounts[member].user_principal_name
    assert administrators == {
        1: "account-0001@contoso.com",
        2: "account-0001@contoso.com",
        3: "account-0002@contoso.com",
        4: "account-0002@contoso.com",
        5: "account-0003@contoso.com",
    }


def test_a_hundred_thousand_generated_repositories_take_little_memory() -> None:
    many = Repositories("project-id", "platform", generated=100_000)
    assert len(pickle.dumps(many)) < 1000
    assert len(many) == 100_000
    assert many[99_999].name == "platform-99999"
    assert many[7].id == Repositories("project-id", "platform", generated=8)[7].id


POSITIONS: dict[str, int | None] = {
    "shop-0000": 0,
    "SHOP-0002": 2,
    "shop-0003": None,
    "shop-2": None,
    "shop-": None,
    "written": 3,
    "Shop-0009": 4,
    "gone": None,
    "nothing": None,
}


@pytest.mark.parametrize("name", POSITIONS)
def test_repositories_are_found_by_name_whether_explicit_or_generated(name: str) -> None:
    explicit = [Repository("id", text) for text in ("written", "shop-0009", "gone")]
    repositories = Repositories("id", "shop", explicit, generated=3, removed={"gone"})
    assert repositories.position(name) == POSITIONS[name]
    assert [repository.name for repository in repositories.existing()] == [
        "shop-0000",
        "shop-0001",
        "shop-0002",
        "written",
        "shop-0009",
    ]
    assert [name for _, name in repositories.git_names(4)] == ["shop-0000", "shop-0001", "shop-0002", "written"]
