"""No state that Azure or Kubernetes can stay in makes the operator send more requests than docs/sizing.md allows."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from defender_devops.errors import (
    CredentialsRejected,
    CredentialsUnavailable,
    KubernetesConflict,
    KubernetesRefused,
    KubernetesUnavailable,
    OperatorError,
)
from defender_devops.settings import Settings
from tests.unit.azure.fakes import answer, arm_error
from tests.unit.reconcile.engine.world import KEY, AzureModel, World

pytestmark = pytest.mark.looptime

ADOPT = "authorization: {method: Adopt}"
HOUR = 3600.0
STEADY, TERMINAL, IN_PROGRESS, OUTAGE = 60, 60, 200, 120
"""Maximum requests to Azure within an hour, as docs/sizing.md states them."""
WRITES = 30
"""Maximum writes to Kubernetes within an hour, likewise."""

CONFIGURATION = "/devops/default"
LISTING = "/devops/default/listAvailableAzureDevOpsOrgs"
EXCHANGE_FAILED = "Failed to exchange the OAuth code for a token: invalid_grant"


@dataclass(frozen=True)
class State:
    """A state that lasts for an hour.

    Attributes:
        prepare: puts the world into it.
        requests: most requests to Azure.
        works_first: the connector becomes Ready before it enters the state.
    """

    name: str
    prepare: Callable[[World], None]
    requests: int
    works_first: bool = False


def answers(
    response: httpx.Response | Exception, *paths: str, methods: tuple[str, ...] = ()
) -> Callable[[World], None]:
    """Answer requests to these paths below the connector (all without any), by these methods, with a response."""

    def override(method: str, path: str) -> httpx.Response | Exception | None:
        is_path = not paths or path in paths
        return response if is_path and (not methods or method in methods) else None

    def prepare(world: World) -> None:
        world.model.override = override

    return prepare


def configured(**properties: str) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.model.configuration = {**world.model.configuration, **properties}

    return prepare


def organization(**properties: str) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.model.organization = {**world.model.organization, **properties}

    return prepare


def credential(error: OperatorError) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.azure.credential.script = [error] * 10_000
        world.model.override = lambda _method, _path: arm_error(401, "ExpiredAuthenticationToken", "Expired.")

    return prepare


def kubernetes(error: OperatorError) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.kubernetes.refuses = error
        world.model.configuration["provisioningState"] = "Failed"

    return prepare


WRITE_METHODS = ("PUT", "PATCH", "DELETE")
DRIFT = {"autoDiscovery": "Disabled"}


def refused_write(response: httpx.Response) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        configured(**DRIFT)(world)
        answers(response, methods=WRITE_METHODS)(world)

    return prepare


NOT_FOUND = arm_error(404, "ResourceNotFound", "The resource was not found.")
STATES = [
    State("it works", lambda _: None, STEADY),
    State(
        "a configuration is pending for ever", configured(provisioningState="Pending"), IN_PROGRESS, works_first=True
    ),
    State("a configuration was pending from the start", configured(provisioningState="Pending"), IN_PROGRESS),
    State("a configuration is being deleted for ever", configured(provisioningState="PendingDeletion"), IN_PROGRESS),
    State("an organization is pending for ever", organization(provisioningState="Pending"), IN_PROGRESS),
    State("a configuration failed for good", configured(provisioningState="Failed"), STEADY, works_first=True),
    State(
        "the exchange of the code failed",
        configured(provisioningState="Failed", provisioningStatusMessage=EXCHANGE_FAILED),
        STEADY,
    ),
    State("the configuration was deleted", answers(NOT_FOUND, CONFIGURATION), STEADY, works_first=True),
    State("there is no configuration", answers(NOT_FOUND, CONFIGURATION), STEADY),
    State("the connector was deleted", answers(NOT_FOUND), STEADY, works_first=True),
    State("there is no connector", answers(NOT_FOUND), STEADY),
    State("a change is accepted and never happens", configured(**DRIFT), STEADY),
    State("an unknown provisioning state", configured(provisioningState="Paused"), STEADY),
    State("a lock", refused_write(arm_error(409, "ScopeLocked", "Locked.")), TERMINAL),
    State("a policy", refused_write(arm_error(403, "RequestDisallowedByPolicy", "Denied.")), TERMINAL),
    State("a refused body", refused_write(arm_error(400, "BadRequest", "No.")), TERMINAL),
    State("a conflict", refused_write(arm_error(409, "Conflict", "Busy.")), OUTAGE),
    State("throttled writes", refused_write(arm_error(429, "TooManyRequests", "Slow down.")), OUTAGE),
    State("provider missing", answers(arm_error(409, "MissingSubscriptionRegistration", "Register.")), TERMINAL),
    State("no right", answers(arm_error(403, "AuthorizationFailed", "No right.")), TERMINAL),
    State("no subscription", answers(arm_error(404, "SubscriptionNotFound", "None.")), TERMINAL),
    State("no resource group", answers(arm_error(404, "ResourceGroupNotFound", "None.")), TERMINAL),
    State("wrong tenant", answers(arm_error(401, "InvalidAuthenticationTokenTenant", "Wrong.")), TERMINAL),
    State("a refused read", answers(arm_error(400, "BadRequest", "No.")), TERMINAL, works_first=True),
    State("throttled", answers(answer(429, headers={"Retry-After": "1"})), OUTAGE, works_first=True),
    State("throttled without a time", answers(answer(429)), OUTAGE),
    State("an outage", answers(answer(503)), OUTAGE, works_first=True),
    State("an internal error", answers(arm_error(500, "InternalServerError", "Oops.")), OUTAGE),
    State("no connection", answers(httpx.ReadError("cut")), OUTAGE),
    State("an answer that is not JSON", answers(httpx.Response(200, content=b"<html>")), OUTAGE),
    State("the listing is refused", answers(arm_error(403, "Forbidden", "No."), LISTING), STEADY, works_first=True),
    State("the listing fails", answers(answer(500), LISTING), STEADY, works_first=True),
    State("the listing is empty", answers(answer(200, {"value": []}), LISTING), STEADY, works_first=True),
    State("Entra refuses the identity", credential(CredentialsRejected("Wrong secret.")), TERMINAL),
    State("Entra does not answer", credential(CredentialsUnavailable("Down.")), OUTAGE),
    State("Kubernetes refuses writes", kubernetes(KubernetesRefused("No right.")), TERMINAL),
    State("Kubernetes conflicts", kubernetes(KubernetesConflict("Changed.")), OUTAGE),
    State("Kubernetes is unavailable", kubernetes(KubernetesUnavailable("Down.")), OUTAGE),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
async def test_a_state_that_lasts_for_an_hour_costs_few_requests(state: State) -> None:
    settings = Settings()
    world = World(AzureModel(), settings, ADOPT)
    if not state.works_first:
        state.prepare(world)
    async with world.running():
        await asyncio.sleep(60.0)
        if state.works_first:
            assert world.condition("Ready")[0] == "True", world.status()
            state.prepare(world)
        world.azure.requests.clear()
        world.kubernetes.writes = 0
        world.reconciles.clear()
        await asyncio.sleep(HOUR)
    assert len(world.azure.requests) <= state.requests
    assert world.kubernetes.writes <= WRITES
    intervals = [later - earlier for earlier, later in itertools.pairwise(world.reconciles)]
    assert min(intervals, default=HOUR) >= settings.min_requeue_interval


@pytest.mark.parametrize("limit", [STEADY, IN_PROGRESS, OUTAGE, WRITES])
def test_the_limits_are_those_of_the_documentation(limit: int) -> None:
    table = (Path(__file__).parents[4] / "docs/sizing.md").read_text().partition("## Requests in any state")[2]
    assert f"| {limit} |" in table.partition("##")[0]


async def test_an_edit_is_acted_on_at_once_whatever_failed_before() -> None:
    world = World(AzureModel(), Settings(), ADOPT)
    configured(**DRIFT)(world)
    answers(arm_error(400, "BadRequest", "No."), methods=WRITE_METHODS)(world)
    async with world.running():
        await asyncio.sleep(HOUR)
        assert world.condition("Stalled")[0] == "True"
        world.reconciles.clear()
        world.edit({"suspend": True})
        await asyncio.sleep(1.0)
        assert len(world.reconciles) == 1


async def test_a_refused_change_is_sent_at_most_three_times_in_the_first_minute() -> None:
    world = World(AzureModel(), Settings(), ADOPT)
    async with world.running():
        await asyncio.sleep(60.0)
        configured(**DRIFT)(world)
        answers(arm_error(400, "BadRequest", "No."), methods=WRITE_METHODS)(world)
        await asyncio.sleep(600.0)
        world.queue.enqueue(KEY)
        world.azure.requests.clear()
        await asyncio.sleep(59.0)
        writes = [request for request in world.azure.requests if request.method in WRITE_METHODS]
        assert len(writes) <= 3
        world.azure.requests.clear()
        await asyncio.sleep(580.0)
        assert [request for request in world.azure.requests if request.method in WRITE_METHODS] == []
