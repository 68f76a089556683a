"""Executes the steps of a plan in a lane and checks what must hold afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.cluster.client import ApiError
from tests.faults.checks.end_state import EndState, differences, is_reported, read_end_state
from tests.faults.checks.invariants import check_codes, check_log, check_secrets, check_strays, repeated_effects
from tests.faults.plans.plan import DesiredState, Plan, Step
from tests.faults.plans.rule import KUBERNETES, Action, Rule
from tests.faults.stack.lane import SPEED, Lane
from tests.support.scenarios.scenario import KIND, ORGANIZATION, message

__all__ = ["Execution", "Outcome", "References", "Violation"]

_END_TIMEOUT: Final = 30.0
_SLOW_END_TIMEOUT: Final = 120.0
_QUIET: Final = 1.0
_QUIET_TIMEOUT: Final = 15.0
_CALM: Final = 0.6
"""Seconds without a write after which the operator has done what it can while a rule applies."""
_CALM_TIMEOUT: Final = 4.0
_REST: Final = 2.5
"""Seconds for which nothing may be written: longer than the intervals of all periodic checks."""
_REST_TIMEOUT: Final = 20.0
_POLL: Final = 0.1
_DISCOVERY: Final = 10 * 3600.0
"""Seconds of inner time after which discovery has reported everything."""

_CHANGING_STEPS: Final = frozenset({"apply", "attempt", "delete", "vanish", "declare", "undeclare", "drift"})
_DISTURBING: Final = frozenset(
    {Action.ANSWER_AFTER, Action.RESET_AFTER, Action.KILL, Action.KILL_AFTER, Action.TRUNCATE, Action.CHANGE}
)
"""Faults that may hide from the operator that a write had its effect."""


class Violation(Exception):
    """Something that must hold does not; the message says what."""


@dataclass(frozen=True)
class Outcome:
    """The result of a plan.

    Attributes:
        plan: the plan.
        violations: what did not hold; empty where everything did.
        seconds: how long it took.
        log: what the operator logged.
    """

    plan: Plan
    violations: tuple[str, ...]
    seconds: float
    log: str = ""


@dataclass
class References:
    """Ends of desired states that were reached alone, on an empty namespace and without faults; shared by lanes."""

    _ends: dict[str, EndState] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, lane: Lane, desired: DesiredState) -> EndState:
        """Return the end of a desired state; where it is unknown, it is brought about in the lane first."""
        with self._lock:
            end = self._ends.get(desired.key)
        if end is None:
            end = _bring_about(lane, desired)
            with self._lock:
                self._ends[desired.key] = end
        return end


class Execution:
    """One plan in one lane."""

    def __init__(self, lane: Lane, plan: Plan, references: References) -> None:
        self._lane = lane
        self._plan = plan
        self._references = references
        self._ends: dict[str, EndState] = {}
        self._desired = DesiredState()
        self._changes = 0
        self._disturbances = 0
        self._expects_exit = False
        self._epoch = 0
        self._log_begin = 0

    def run(self) -> Outcome:
        """Execute the plan and check everything."""
        begin = time.monotonic()
        violations: list[str] = []
        try:
            self._prepare()
            for step in self._plan.steps:
                self._execute(step)
            self._finish()
        except (Violation, TimeoutError) as violation:
            violations.append(str(violation))
        self._lane.thaw()
        log = self._log()
        violations += [*check_log(log), *check_codes(self._lane), *check_strays(self._lane)]
        violations += check_secrets(self._lane, log)
        return Outcome(self._plan, tuple(violations), time.monotonic() - begin, log)

    def _prepare(self) -> None:
        """Begin anew, and find out where the plan has to end."""
        states = {state.key: state for state in self._states_to_reach()}
        for state in states.values():
            self._ends[state.key] = self._references.end(self._lane, state)
        self._lane.clear()
        self._lane.proxy.strays.clear()
        self._log_begin = self._lane.log.stat().st_size
        self._epoch = self._lane.control.last()

    def _states_to_reach(self) -> Iterator[DesiredState]:
        state = DesiredState()
        for step in self._plan.steps:
            if step.do == "reach":
                yield state
            state = state.after(step)
        yield state

    def _execute(self, step: Step) -> None:
        handler: Callable[..., None] = getattr(self, f"do_{step.do}")
        handler(**step.arguments)
        self._desired = self._desired.after(step)
        is_renewal = step.do == "code" and self._desired.spec is not None
        if step.do in _CHANGING_STEPS or is_renewal:
            self._changes += 1

    # --- what people do

    def do_code(self) -> None:
        """Put a new one-time code into the Secret."""
        self._lane.scenario.new_code()

    def do_apply(self, spec: dict[str, Any]) -> None:
        """Apply the connector."""
        self._lane.scenario.apply(self._lane.scenario.manifest(**spec))

    def do_attempt(self, spec: dict[str, Any]) -> None:
        """Apply a connector that the API server may refuse, and which is not to stay."""
        try:
            self.do_apply(spec)
        except ApiError as error:
            if error.reason not in {"Invalid", "BadRequest"}:
                raise

    def do_delete(self) -> None:
        """Delete the connector."""
        self._lane.kube.delete(KIND, "contoso", self._lane.namespace)

    def do_vanish(self) -> None:
        """Remove the connector without its finalizer's consent, as the loss of a cluster's data does."""
        self._lane.kube.patch(KIND, "contoso", {"metadata": {"finalizers": None}}, self._lane.namespace)
        self.do_delete()
        self._lane.kube.wait_deleted(KIND, "contoso", self._lane.namespace)

    def do_forget(self) -> None:
        """Restore a status from before the authorization, as a backup does."""
        change = {"status": {"authorization": None}}
        self._lane.kube.patch(KIND, "contoso", change, self._lane.namespace, subresource="status")

    def do_gone(self) -> None:
        """Wait until the connector is deleted."""
        deadline = time.monotonic() + _END_TIMEOUT
        while (body := self._lane.kube.get(KIND, "contoso", self._lane.namespace)) is not None:
            if time.monotonic() > deadline:
                raise Violation(f"the connector is not let go; its conditions: {body['status'].get('conditions')}")
            self._check_process()
            time.sleep(_POLL)

    def do_declare(self, organization: str, name: str, spec: dict[str, Any]) -> None:
        """Declare a DevOpsOrganization, or take over the generated one of that name."""
        self._lane.scenario.declare(organization, name=name, **spec)

    def do_undeclare(self, name: str) -> None:
        """Delete a declared DevOpsOrganization."""
        self._lane.kube.delete(ORGANIZATION, name, self._lane.namespace)

    def do_drift(self, changes: dict[str, Any]) -> None:
        """Change the connector outside of the operator."""
        self._lane.scenario.change_in_portal(**changes)

    # --- what happens to the operator and to what it sees

    def do_rule(self, **values: Any) -> None:  # noqa: ANN401 - fields of a rule
        """Activate a rule of the proxy."""
        rule = Rule.from_json(values)
        self._lane.proxy.install(rule)
        self._disturbances += rule.action in _DISTURBING
        self._expects_exit |= rule.action in {Action.KILL, Action.KILL_AFTER}

    def do_fault(self, **values: Any) -> None:  # noqa: ANN401 - fields of a fault
        """Set a fault of the simulated cloud."""
        self._lane.control.fault(**values)
        self._disturbances += 1

    def do_expire(self) -> None:
        """Expire the access tokens of Azure."""
        self._lane.control.expire_tokens()

    def do_lag(self, setting: str, seconds: float) -> None:
        """Let Azure's reads lag behind its writes by some real seconds."""
        self._lane.control.settings(**{setting: seconds * SPEED})
        self._disturbances += 1

    def do_lift(self) -> None:
        """Deactivate all rules, faults and lags."""
        self._lane.proxy.lift()
        self._lane.control.clear_faults()
        self._lane.control.settings(readAfterWriteLag=0, resourceGraphLag=0)

    def do_observe(self) -> None:
        """Wait until the operator has polled Resource Graph twice, if it can."""
        for _ in range(2):
            since = self._lane.control.last()
            self._lane.control.journal(since=since, operation="Resources_Query", wait=_CALM_TIMEOUT)
        self._lane.wait_quiet(_CALM, _CALM_TIMEOUT)

    def do_cut(self, path: str = "", *, orderly: bool = False) -> None:
        """End open watches."""
        self._lane.proxy.cut_watches(path, orderly=orderly)

    def do_remember(self) -> None:
        """Remember the lists for a later time travel."""
        self._lane.remember_lists()

    def do_kill(self) -> None:
        """Kill the operator."""
        self._lane.kill()
        self._lane.wait_ended()
        self._disturbances += 1

    def do_start(self) -> None:
        """Start an operator, if none runs."""
        if not self._lane.is_running:
            self._lane.start()

    def do_restart(self) -> None:
        """Wait until a rule has killed the operator, or it has nothing more to do; start it where it has ended."""
        self._lane.wait_quiet(_CALM, _CALM_TIMEOUT)
        self.do_start()

    def do_calm(self) -> None:
        """Wait until the operator has done what it can for now."""
        self._lane.wait_quiet(_CALM, _CALM_TIMEOUT)

    def do_rival(self) -> None:
        """Start another installation, which watches the same namespace."""
        self._lane.start_rival()

    def do_skew(self, seconds: float) -> None:
        """Set Azure's clock ahead."""
        self._lane.control.move(0, wall=seconds)

    def do_replace(self) -> None:
        """Start another replica, which takes the lease of the frozen operator as soon as it has expired."""
        self._lane.start_replica()
        self._disturbances += 1

    def do_thaw(self) -> None:
        """Let the frozen operator continue, which has lost its lease; it must not write any more, and ends."""
        self._lane.thaw()
        self._lane.promote_replica()

    # --- what is expected

    def do_reach(self) -> None:
        """Wait for the end of the desired state; from here on nothing is written without a new cause."""
        self._wait_for_end()
        self._check_effects()

    def _finish(self) -> None:
        """Bring the plan to its end: no fault any more, the end, rest, deletion, nothing left."""
        self.do_lift()
        self._lane.thaw()
        if not self._lane.is_running:
            if not self._expects_exit:
                raise Violation(f"the operator has ended with status {self._lane.wait_ended()}")
            self._lane.start()
        self._wait_for_end()
        self._check_effects()
        self._check_rest()
        self._check_deletion()

    def _wait_for_end(self) -> None:
        expected = self._ends[self._desired.key]
        deadline = time.monotonic() + (_SLOW_END_TIMEOUT if self._plan.is_slow else _END_TIMEOUT)
        while (state := read_end_state(self._lane, self._desired)) != expected or not self._stays(expected):
            if time.monotonic() > deadline:
                raise Violation(f"the end differs from that of the last spec alone:\n{differences(expected, state)}")
            self._bring_code_if_asked()
            self._check_process()
            time.sleep(_POLL)

    def _stays(self, expected: EndState) -> bool:
        """Whether an end that is reached stays: what was planned before a fault was over may still be on its way."""
        is_quiet = self._lane.wait_quiet(_CALM, _CALM_TIMEOUT)
        return is_quiet and read_end_state(self._lane, self._desired) == expected

    def _check_process(self) -> None:
        """Start the operator again where the plan has ended it; else its end is a violation."""
        if self._lane.is_running:
            return
        status = self._lane.wait_ended()
        if not self._expects_exit:
            raise Violation(f"the operator has ended with status {status}")
        self._lane.start()

    def _bring_code_if_asked(self) -> None:
        """Bring another code, as a person does, where the fate of one that was sent is unknown."""
        resource = self._lane.kube.get(KIND, "contoso", self._lane.namespace)
        if self._disturbances and resource is not None and "sent before" in message(resource, "Authorized"):
            self._lane.scenario.new_code()

    def _check_effects(self) -> None:
        """Check the effects in Azure since the last check: none twice, and none without a cause."""
        entries = self._lane.control.journal(since=self._epoch, service="arm", effective="true")
        self._epoch = self._lane.control.last()
        allowance = self._changes + self._disturbances
        self._changes = self._disturbances = 0
        for violation in repeated_effects(entries, allowance):
            raise Violation(violation)

    def _check_rest(self) -> None:
        """Check that nothing is written once discovery has reported everything."""
        self._lane.control.move(_DISCOVERY)
        self._lane.control.journal(since=self._lane.control.last(), operation="Resources_Query", wait=_CALM_TIMEOUT)
        # What Azure refuses is requested again from time to time; it has no effect.
        expected = self._ends[self._desired.key]
        is_refused = not str(expected["connector"] and expected["connector"]["conditions"]["Ready"]).startswith("True")
        if not self._lane.wait_quiet(_REST, _REST_TIMEOUT, server=KUBERNETES if is_refused else ""):
            raise Violation(f"at rest the operator writes: {_last_writes(self._lane)}")
        self._check_effects()
        state = read_end_state(self._lane, self._desired)
        if state != expected:
            raise Violation(f"at rest the end changes:\n{differences(expected, state)}")

    def _check_deletion(self) -> None:
        """Delete everything, and check that nothing is left."""
        lane = self._lane
        lane.kube.delete(KIND, "contoso", lane.namespace)
        for name in self._desired.organizations:
            self.do_undeclare(name)
        self.do_gone()
        deadline = time.monotonic() + _QUIET_TIMEOUT
        while remains := self._remains():
            if time.monotonic() > deadline:
                raise Violation(f"after the deletion there is still {', '.join(remains)}")
            time.sleep(_POLL)

    def _remains(self) -> list[str]:
        lane = self._lane
        return [
            *(f"the connector {connector['id']}" for connector in lane.control.world()["connectors"]),
            *(f"the Security Reader {reader}" for reader in sorted(lane.azure_user.readers())),
            *(
                f"DevOpsOrganization {body['metadata']['name']}"
                for body in lane.kube.list_all(ORGANIZATION, lane.namespace)
            ),
        ]

    def _log(self) -> str:
        with self._lane.log.open("rb") as file:
            file.seek(self._log_begin)
            return file.read().decode(errors="replace")


def _bring_about(lane: Lane, desired: DesiredState) -> EndState:
    """Bring a desired state about on an empty namespace without faults, and return its end."""
    lane.clear()
    execution = Execution(lane, Plan("reference", 0, desired.steps()), References())
    for step in desired.steps():
        execution._execute(step)
    deadline = time.monotonic() + _END_TIMEOUT
    while not (is_reported(lane) and lane.wait_quiet(_QUIET, _QUIET_TIMEOUT) and is_reported(lane)):
        if time.monotonic() > deadline:
            raise Violation(f"without any fault {desired.key} does not come to rest: {_last_writes(lane)}")
        time.sleep(_POLL)
    return read_end_state(lane, desired)


def _last_writes(lane: Lane) -> list[str]:
    return [write.description for write in lane.proxy.writes[-10:]]
