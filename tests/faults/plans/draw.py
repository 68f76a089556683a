"""Plans drawn from a seed, kind by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, Final

from defender_devops.api.names import OWNER_TAGS
from tests.faults.plans import sick
from tests.faults.plans.plan import Plan, Step
from tests.faults.plans.rule import AZURE, KUBERNETES, Action, Rule
from tests.faults.plans.specs import ORGANIZATIONS, draw_any_spec, draw_organization_spec, draw_valid_spec

__all__ = ["KINDS", "draw_plan", "draw_plans"]

Steps = list[Step]

SPECS: Final[tuple[Mapping[str, Any], ...]] = (
    {},
    {
        "azure": {"tags": {"team": "blue"}},
        "pullRequestAnnotations": {"mode": "Enabled", "minimumSeverity": "Medium"},
        "securityReaders": [{"objectId": "88888888-8888-8888-8888-888888888888", "principalType": "Group"}],
    },
    {
        "organizations": {"mode": "AllAndFuture", "names": None, "exclude": ["fabrikam"]},
        "azure": {"tags": {"owner": "platform"}},
        "securityReaders": [{"objectId": "44444444-4444-4444-4444-444444444444", "principalType": "User"}],
    },
    {
        "organizations": {"names": ["contoso", "tailspin"]},
        "agentlessScanning": {"mode": "Enabled", "scanners": ["checkov"]},
    },
    {"organizations": {"names": ["northwind"]}, "azure": {"tags": {"team": "green", "Env": "test"}}},
)
"""Specs of plans whose subject is the fault, not the spec: their ends are found out once."""

CONNECTORS: Final = "/azuredevopsconnectors"
DECLARED: Final = "/devopsorganizations"
SECRETS: Final = "/secrets"
ERROR_EVENTS: Final = tuple(
    '{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
    f'"message":"{message}","reason":"{reason}","code":{code}}}}}'
    for message, reason, code in (
        ("too old resource version", "Expired", 410),
        ("Too large resource version: 9999999, current: 9", "Timeout", 504),
        ("etcdserver: mvcc: required revision has been compacted", "Unknown", 500),
    )
)
"""What a watch ends with: the history is compacted, or the server that was restarted is behind."""


def rule(server: str, action: Action, **values: Any) -> Step:  # noqa: ANN401 - fields of a rule
    """Return the step that activates a rule."""
    return Step("rule", Rule(server, action, **values).as_json())


def apply(spec: Mapping[str, Any]) -> Step:
    """Return the step that applies a connector."""
    return Step("apply", {"spec": spec})


def declare(organization: str, spec: Mapping[str, Any]) -> Step:
    """Return the step that declares a DevOpsOrganization, or takes over the generated one."""
    return Step("declare", {"organization": organization, "name": object_name(organization), "spec": spec})


def undeclare(organization: str) -> Step:
    """Return the step that deletes a declared DevOpsOrganization."""
    return Step("undeclare", {"name": object_name(organization)})


def object_name(organization: str) -> str:
    """Return the name of a declared object; for some organizations that of the generated one."""
    return f"contoso-{organization}" if organization in ORGANIZATIONS[:2] else organization


def _connected(random: Random) -> Steps:
    """Return the steps to a connector at its end."""
    return [Step("code"), apply(random.choice(SPECS)), Step("reach")]


def _edits(random: Random) -> Steps:
    """Return one to three things that people change."""
    steps: Steps = []
    for _ in range(random.randint(1, 3)):
        match random.randrange(4):
            case 0 | 1:
                steps.append(apply(random.choice(SPECS)))
            case 2:
                onboarding = random.choice(("Onboarded", "Excluded", "Inherit"))
                steps.append(declare(random.choice(ORGANIZATIONS[:4]), {"onboarding": onboarding}))
            case 3:
                steps.append(undeclare(random.choice(ORGANIZATIONS[:4])))
    return steps


def _recreated(random: Random) -> Steps:
    """Return a deletion, and the creation of a connector of the same name."""
    return [Step("delete"), Step("gone"), Step("code"), apply(random.choice(SPECS))]


def draw_stale(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which the operator sees what was, not what is."""
    subject = random.choice(("hold", "hold", "code", "taken over", "time travel", "time travel", "deleted"))
    if subject == "hold":
        path = random.choice((CONNECTORS, DECLARED, SECRETS, "/"))
        hold = rule(KUBERNETES, Action.HOLD, path=path, watch=True, times=None)
        restart = random.choice(([], [Step("kill"), Step("start")]))
        return [*_connected(random), hold, *_edits(random), *restart, Step("calm"), Step("lift"), Step("reach")], False
    if subject == "code":
        hold = rule(KUBERNETES, Action.HOLD, path=SECRETS, watch=True, times=None)
        return [
            apply(random.choice(SPECS)),
            Step("calm"),
            hold,
            Step("code"),
            Step("calm"),
            Step("lift"),
            Step("reach"),
        ], False
    if subject == "taken over":
        hold = rule(KUBERNETES, Action.HOLD, path=DECLARED, watch=True, times=None)
        decision = declare("fabrikam", {"onboarding": random.choice(("Onboarded", "Excluded"))})
        steps = [Step("code"), apply(SPECS[0]), Step("reach"), hold, decision, apply(SPECS[4]), Step("calm")]
        return [*steps, Step("lift"), Step("reach")], False
    between = [*_edits(random), Step("reach")] if subject == "time travel" else [Step("delete"), Step("gone")]
    older = [
        rule(KUBERNETES, Action.OLDER, path=f"{path}[?]", method="GET", times=random.randint(1, 3))
        for path in (CONNECTORS, DECLARED)
    ]
    hold = rule(KUBERNETES, Action.HOLD, path=f"{CONNECTORS}|{DECLARED}", watch=True, times=None)
    steps = [
        *_connected(random),
        Step("remember"),
        *between,
        Step("kill"),
        *older,
        hold,
        Step("start"),
        Step("observe"),
    ]
    return [*steps, Step("lift"), Step("reach")], False


def draw_unseen(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which events do not arrive."""
    subject = random.choice(("away", "away", "expired", "merged", "passing", "no bookmarks", "deleted", "withdrawn"))
    path = random.choice((CONNECTORS, DECLARED, "/(azuredevopsconnectors|devopsorganizations|secrets)"))
    steps = _connected(random)
    match subject:
        case "away":
            status = random.choice((429, 500, 503, 504))
            headers = {"Retry-After": "1"} if random.random() < 0.5 else {}
            away = rule(KUBERNETES, Action.ANSWER, path=path, watch=True, times=4, status=status, headers=headers)
            gone = rule(KUBERNETES, Action.ANSWER, path=path, watch=True, times=2, status=410)
            change = random.choice((_edits, _recreated))(random)
            steps += [away, gone, Step("cut", {"path": path, "orderly": random.random() < 0.5}), *change]
        case "expired":
            expired = rule(
                KUBERNETES,
                Action.EVENT,
                path=path,
                watch=True,
                body=random.choice(ERROR_EVENTS),
                times=random.randint(1, 3),
            )
            steps += [expired, *_edits(random)]
        case "merged":
            dropped = rule(KUBERNETES, Action.DROP, path=CONNECTORS, watch=True, event="MODIFIED contoso")
            steps += [dropped, apply(random.choice(SPECS)), apply(random.choice(SPECS[1:]))]
        case "passing":
            organization = random.choice(ORGANIZATIONS[:4])
            event = f" {object_name(organization)}$"
            dropped = rule(KUBERNETES, Action.DROP, path=DECLARED, watch=True, event=event, times=None)
            steps += [dropped, declare(organization, {"onboarding": "Excluded"}), undeclare(organization), Step("calm")]
        case "no bookmarks":
            dropped = rule(KUBERNETES, Action.DROP, path=path, watch=True, event="^BOOKMARK", times=None)
            steps += [dropped, Step("cut", {"path": path}), *_edits(random)]
        case "deleted":
            dropped = rule(KUBERNETES, Action.DROP, path=CONNECTORS, watch=True, event="DELETED contoso")
            steps += [dropped, *_recreated(random)]
        case "withdrawn":
            organization = random.choice(ORGANIZATIONS[2:4])
            event = f"DELETED {object_name(organization)}$"
            dropped = rule(KUBERNETES, Action.DROP, path=DECLARED, watch=True, event=event, times=None)
            steps += [
                declare(organization, {"onboarding": "Onboarded"}),
                Step("reach"),
                dropped,
                undeclare(organization),
            ]
    return [*steps, Step("calm"), Step("lift"), Step("reach")], False


def draw_silent(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which watches are silent until the operator's own time-out."""
    path = random.choice((CONNECTORS, DECLARED, SECRETS))
    silence = rule(KUBERNETES, Action.SILENCE, path=path, watch=True, times=1)
    return [*_connected(random), silence, *_edits(random), apply(random.choice(SPECS)), Step("reach")], True


def draw_half_done(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which the operator is killed at a write."""
    server = random.choice(sick.SERVERS)
    action = random.choice((Action.KILL, Action.KILL_AFTER))
    kills = [rule(server, action, writes=True, after=random.randint(0, 6))]
    if random.random() < 0.3:
        kills.append(rule(random.choice(sick.SERVERS), action, writes=True, after=random.randint(0, 6)))
    match random.randrange(6):
        case 5:
            # Another code renews the authorization.
            steps = [*_connected(random), *kills, Step("code"), Step("observe")]
        case 0:
            steps = [Step("code"), *kills, apply(random.choice(SPECS))]
        case 1:
            steps = [*_connected(random), *kills, *_edits(random)]
        case 4:
            # What was asked for when the operator was killed is withdrawn before it starts again.
            steps = [
                *_connected(random),
                *kills,
                apply(random.choice(SPECS)),
                Step("calm"),
                apply(random.choice(SPECS)),
            ]
        case 2:
            steps = [*_connected(random), *kills, Step("delete"), Step("restart"), Step("restart"), Step("gone")]
        case _:
            steps = [
                *_connected(random),
                Step("delete"),
                Step("gone"),
                *kills,
                Step("code"),
                apply(random.choice(SPECS)),
            ]
    return [*steps, *[Step("restart") for _ in kills], Step("lift"), Step("reach")], False


def draw_frozen(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which the operator is frozen at a write, and continues after another replica took its lease."""
    freeze = rule(random.choice(sick.SERVERS), Action.FREEZE, writes=True, after=random.randint(0, 3))
    first, second = random.sample(SPECS, 2)
    edits = [freeze, apply(first), Step("calm"), apply(second)]
    return [
        *_connected(random),
        *edits,
        Step("replace"),
        Step("reach"),
        Step("thaw"),
        Step("calm"),
        Step("reach"),
    ], True


def draw_rivals(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which two installations watch the same namespace."""
    hold = rule(KUBERNETES, Action.HOLD, path=CONNECTORS, watch=True, times=None, event=random.choice(("MODIFIED", "")))
    maybe = random.choice(([], [hold]))
    steps = [
        Step("rival"),
        Step("code"),
        *maybe,
        apply(random.choice(SPECS)),
        Step("calm"),
        Step("lift"),
        Step("reach"),
    ]
    return [*steps, *_edits(random), Step("reach")], False


def draw_restored(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which resources were restored from a backup, with another uid or an older status."""
    first, second = ({**spec, "deletionPolicy": "Delete"} for spec in random.sample(SPECS, 2))
    steps = [Step("code"), apply(first), Step("reach")]
    is_away = random.random() < 0.5
    stop, start = ([Step("kill")], [Step("start")]) if is_away else ([], [])
    if random.random() < 0.5:
        return [*steps, *stop, Step("forget"), *start, apply(second), Step("reach")], False
    # An operator that watches some namespaces only cannot know that the owner is gone: a person removes the tags.
    tags = [Step("drift", {"changes": {"remove_tags": sorted(OWNER_TAGS)}})] if is_away else []
    steps += [*stop, Step("vanish"), *tags, apply(first), *start, Step("calm"), apply(second)]
    return [*steps, Step("reach")], False


def draw_misoperation(random: Random) -> tuple[Steps, bool]:
    """Return a sequence of edits, whose end is that of the last alone; back to the first spec gives the first end."""
    first = draw_valid_spec(random)
    steps: Steps = [Step("code"), apply(first), Step("reach")]
    organizations: set[str] = set()
    for _ in range(random.randint(2, 5)):
        match random.randrange(5):
            case 0:
                organization = random.choice(ORGANIZATIONS[:4])
                organizations.add(organization)
                # A spec without a decision takes nothing over.
                steps.append(declare(organization, draw_organization_spec(random) or {"onboarding": "Inherit"}))
            case 1 if organizations:
                organization = random.choice(sorted(organizations))
                organizations.remove(organization)
                steps.append(undeclare(organization))
            case 2:
                steps.append(Step("calm"))
            case _:
                steps.append(Step("attempt", {"spec": draw_any_spec(random)}))
    steps += [apply(draw_valid_spec(random)), Step("reach")]
    steps += [undeclare(organization) for organization in sorted(organizations)]
    return [*steps, apply(first), Step("reach")], False


def draw_sick_cluster(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which the API server is sick."""
    faults = sick.draw_cluster_faults(random)
    return _with_faults(random, faults), False


def draw_sick_cloud(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which Azure is sick."""
    faults = sick.draw_cloud_faults(random)
    return _with_faults(random, faults), False


def draw_outage(random: Random) -> tuple[Steps, bool]:
    """Return a plan in which the API server restarts, Azure asks for an hour, or an operation takes long."""
    match random.randrange(3):
        case 0:
            requests = rule(KUBERNETES, Action.RESET, times=random.randint(3, 8))
            watches = rule(KUBERNETES, Action.RESET, watch=True, times=random.randint(1, 3))
            behind = rule(KUBERNETES, Action.EVENT, watch=True, body=ERROR_EVENTS[1])
            faults = [requests, watches, *random.choice(([], [behind])), Step("cut")]
        case 1:
            path = random.choice(("/Microsoft.ResourceGraph/", "/pricings"))
            status, headers = random.choice((429, 503)), {"Retry-After": "3600"}
            faults = [rule(AZURE, Action.ANSWER, path=path, status=status, headers=headers)]
        case _:
            operation = {"outcome": "succeeded", "seconds": 36_000}
            faults = [Step("fault", {"service": "arm", "method": "PATCH", "operation": operation})]
    return [*_connected(random), *faults, *_edits(random), Step("calm"), Step("lift"), Step("reach")], False


def _with_faults(random: Random, faults: Steps) -> Steps:
    """Return a life in which faults appear on the way to a connector, at rest, at an edit, or at its deletion."""
    match random.randrange(4):
        case 0:
            # The code last: with Azure's clock ahead, an earlier one has expired.
            steps = [*faults, Step("code"), apply(random.choice(SPECS))]
        case 1:
            steps = [*_connected(random), *faults, Step("observe"), Step("observe")]
        case 2:
            steps = [*_connected(random), *faults, *_edits(random), Step("calm")]
        case _:
            return [*_connected(random), *faults, Step("delete"), Step("calm"), Step("lift"), Step("gone")]
    return [*steps, Step("lift"), Step("reach")]


Draw = Callable[[Random], tuple[Steps, bool]]

KINDS: Final[Mapping[str, Draw]] = {
    "stale": draw_stale,
    "unseen": draw_unseen,
    "half-done": draw_half_done,
    "misoperation": draw_misoperation,
    "rivals": draw_rivals,
    "restored": draw_restored,
    "sick-cluster": draw_sick_cluster,
    "sick-cloud": draw_sick_cloud,
    "outage": draw_outage,
    "silent": draw_silent,
    "frozen": draw_frozen,
}
_RARE: Final = frozenset({"silent", "frozen"})
"""Kinds whose plans wait for time-outs of a minute: one plan in twenty."""

_RARITY: Final = 20


def draw_plan(kind: str, seed: int) -> Plan:
    """Return the plan of a kind and a seed."""
    random = Random(f"{kind}/{seed}")
    steps, is_slow = KINDS[kind](random)
    return Plan(kind, seed, tuple(steps), is_slow)


def draw_plans(seed: int, count: int, kinds: tuple[str, ...] = tuple(KINDS)) -> Iterator[Plan]:
    """Yield plans of all kinds in turn; slow ones are rare."""
    usual = [kind for kind in kinds if kind not in _RARE] or list(kinds)
    rare = [kind for kind in kinds if kind in _RARE and kind not in usual]
    for number in range(count):
        is_rare = rare and number % _RARITY == _RARITY - 1
        kind = rare[number // _RARITY % len(rare)] if is_rare else usual[number % len(usual)]
        yield draw_plan(kind, seed * 100_000 + number)
