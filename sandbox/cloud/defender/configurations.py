"""Create, change and delete `devops/default`: the effect of each operation when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.cloud.defender import operations
from sandbox.cloud.defender.authorizations import ExchangeFailed, authorization_problem, exchange
from sandbox.cloud.defender.evaluations import update_evaluations
from sandbox.cloud.defender.model import SUCCEEDED_MESSAGE, Authorization, Configuration, Connector, Operation
from sandbox.cloud.defender.onboarding import apply_inventory, offboard_all, schedule_discovery
from sandbox.cloud.defender.operations import Failure, start_operation
from sandbox.cloud.faults import OperationFault
from sandbox.cloud.world.world import World

__all__ = ["Change", "authorize", "change_configuration", "delete_configuration"]


@dataclass(frozen=True, slots=True)
class Change:
    """The request of a PUT or PATCH; None means absent.

    Attributes:
        code: one-time code; an empty string counts as absent.
        names_inventory: whether the request selects organizations.
    """

    code: str | None
    auto_discovery: str | None
    inventory: list[str] | None
    agentless: dict[str, Any] | None

    @property
    def names_inventory(self) -> bool:
        """Whether the request selects organizations: a PATCH of other properties keeps the selection."""
        return self.auto_discovery is not None or self.inventory is not None


def change_configuration(
    world: World,
    connector: Connector,
    change: Change,
    *,
    spelled_id: str,
    api_version: str,
    fault: OperationFault | None,
    replace: bool,
) -> tuple[Operation, bool]:
    """Create or change the configuration. It is Pending at once; a code is redeemed at once, successfully or not.

    Args:
        world: the simulated world.
        connector: the owner of the configuration.
        change: the request.
        spelled_id: id of the configuration as the request spells it.
        api_version: of the request.
        fault: outcome of the operation, set by a test.
        replace: PUT, which resets absent properties to their defaults.

    Returns:
        The operation, and whether the configuration is new.
    """
    configuration = connector.configuration
    created = configuration is None
    if configuration is None:
        configuration = Configuration(spelled_id, world.clock.now())
        connector.configuration = configuration
        schedule_discovery(world, connector)
    redeems_later = bool(change.code) and world.variants.is_chosen("codeRedemption", "finished")
    problem = None if redeems_later else _redeem(world, configuration, change.code)
    if replace and not created and not change.code and world.variants.is_chosen("putWithoutCode", "fails"):
        problem = ExchangeFailed("invalid_request", "The request has no authorization code.")
    timing = _create_timing(world, problem) if created else operations.UPDATE
    configuration.provisioning_state, configuration.status_message = "Pending", None
    target: Configuration = configuration

    def finish(moment: float) -> Failure | None:
        # Another operation may have deleted the configuration, or the connector, in the meantime.
        if connector.configuration is not target or not world.contains(connector):
            return Failure("ResourceNotFound", "The DevOps configuration was deleted.")
        form = world.variants["tokenExchangeMessage"]
        final_problem = _redeem(world, target, change.code) if redeems_later else problem
        if final_problem is not None:
            fail(moment, Failure(final_problem.code, final_problem.status_message(form)))
            return Failure(final_problem.code, final_problem.summary)
        _apply(world, target, change, replace=replace)
        target.provisioning_state, target.status_message = "Succeeded", SUCCEEDED_MESSAGE
        # A PATCH of other properties does not change the selection.
        if replace or change.names_inventory:
            apply_inventory(world, connector, moment)
        update_evaluations(world, [connector], moment)
        return None

    def fail(moment: float, failure: Failure) -> None:
        del moment
        target.provisioning_state, target.status_message = "Failed", failure.message

    return start_operation(world, spelled_id, timing, finish, api_version=api_version, fault=fault, fail=fail), created


def _create_timing(world: World, problem: ExchangeFailed | None) -> operations.Timing:
    if problem is not None:
        return operations.FAILED_CREATE
    is_slow = world.variants.is_chosen("createDuration", "tenMinutes")
    return operations.SLOW_CREATE if is_slow else operations.CREATE


def _redeem(world: World, configuration: Configuration, code: str | None) -> ExchangeFailed | None:
    """Redeem a code, or check the existing authorization; return why it does not work."""
    if not code:
        return authorization_problem(world, configuration.authorization)
    try:
        configuration.authorization = exchange(world, code)
    except ExchangeFailed as problem:
        return problem
    return None


def _apply(world: World, configuration: Configuration, change: Change, *, replace: bool) -> None:
    if replace or change.names_inventory:
        inventory = change.inventory
        if not replace and inventory is not None and world.variants.is_chosen("inventoryPatch", "adds"):
            inventory = [*(configuration.inventory or ()), *inventory]
        if not replace and inventory is None and world.variants.is_chosen("patchWithoutInventory", "keeps"):
            inventory = configuration.inventory
        configuration.auto_discovery = change.auto_discovery or "Disabled"
        configuration.inventory = None if configuration.auto_discovery == "Enabled" else inventory
    if replace or change.agentless is not None:
        configuration.agentless = change.agentless


def delete_configuration(
    world: World, connector: Connector, spelled_id: str, api_version: str, fault: OperationFault | None
) -> Operation:
    """Delete the configuration; until the operation ends it is in state PendingDeletion."""
    configuration = connector.configuration
    if configuration is not None:
        configuration.provisioning_state = "PendingDeletion"

    def finish(moment: float) -> Failure | None:
        del moment
        if connector.configuration is configuration and world.contains(connector):
            offboard_all(world, connector)
            connector.configuration = None
        return None

    def fail(moment: float, failure: Failure) -> None:
        del moment
        if configuration is not None:
            configuration.provisioning_state, configuration.status_message = "DeletionFailure", failure.message

    return start_operation(
        world, spelled_id, operations.DELETE, finish, api_version=api_version, fault=fault, fail=fail
    )


def authorize(world: World, connector: Connector, account_id: str, change: Change, moment: float | None = None) -> None:
    """Authorize in the portal: use the account's authorization from now on and apply the selection at once.

    Args:
        world: the simulated world.
        connector: the connector.
        account_id: object id of the account.
        change: the selection.
        moment: inner time at which a person did that; None for now.

    Raises:
        ExchangeFailed: the account cannot authorize.
    """
    authorization = Authorization(account_id, world.clock.wall())
    problem = authorization_problem(world, authorization)
    if problem is not None:
        raise problem
    now = world.clock.now() if moment is None else moment
    if connector.configuration is None:
        connector.configuration = Configuration(f"{connector.id}/devops/default", now)
        schedule_discovery(world, connector)
    configuration = connector.configuration
    configuration.authorization = authorization
    _apply(world, configuration, change, replace=False)
    configuration.provisioning_state, configuration.status_message = "Succeeded", SUCCEEDED_MESSAGE
    apply_inventory(world, connector, now)
    update_evaluations(world, [connector], now)
