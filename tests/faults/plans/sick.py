"""Faults of sick servers: the API server, Azure Resource Manager, Entra ID."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from tests.faults.plans.plan import Step
from tests.faults.plans.rule import AZURE, KUBERNETES, Action, Rule

__all__ = ["SERVERS", "draw_cloud_faults", "draw_cluster_faults"]

SERVERS: Final = (KUBERNETES, AZURE)

_CLUSTER_REQUESTS: Final[tuple[dict[str, Any], ...]] = (
    {"method": "GET", "path": "/secrets/code"},
    {"method": "PATCH", "path": "/azuredevopsconnectors/contoso/status"},
    {"method": "PATCH", "path": "/azuredevopsconnectors/contoso$"},
    {"method": "PATCH", "path": "/devopsorganizations/[^/]+/status"},
    {"method": "POST", "path": "/devopsorganizations"},
    {"method": "DELETE", "path": "/devopsorganizations"},
    {"method": "GET", "path": "/(azuredevopsconnectors|devopsorganizations)[?]"},
    {"method": "GET", "path": "/(azuredevopsconnectors|devopsorganizations|secrets)", "watch": True},
    {"path": "/leases/"},
    {"method": "POST", "path": "/events"},
    {"path": "", "writes": True},
)
_CLUSTER_STATUSES: Final = (401, 403, 409, 422, 429, 500, 502, 503, 504)

_CLOUD_REQUESTS: Final[tuple[dict[str, Any], ...]] = (
    {"method": "GET", "path": "/securityConnectors/contoso[?]"},
    {"method": "GET", "path": "/devops/default[?]"},
    {"method": "GET", "path": "/azureDevOpsOrgs[?]"},
    {"method": "POST", "path": "/listAvailableAzureDevOpsOrgs"},
    {"method": "POST", "path": "/Microsoft.ResourceGraph/"},
    {"method": "GET", "path": "/roleAssignments"},
    {"method": "GET", "path": "/pricings"},
    {"method": "GET", "path": ""},
    {"method": "PUT", "path": "/securityConnectors/contoso[?]"},
    {"method": "PUT", "path": "/devops/default[?]"},
    {"method": "PATCH", "path": ""},
    {"method": "PUT", "path": "/roleAssignments/"},
    {"method": "DELETE", "path": ""},
    {"path": "", "writes": True},
)
_CLOUD_STATUSES: Final = (401, 403, 404, 408, 409, 412, 429, 500, 502, 503, 504)

_READ_CHANGES: Final = (
    "null",
    "array",
    "text",
    "empty object",
    "nothing",
    "half",
    "html",
    "without entries",
    "null entries",
    "object for entries",
    "null properties",
)
_TOLERATED_CHANGES: Final = (
    "ids in upper case",
    "unfamiliar fields",
    "unfamiliar states",
    "looping link",
    "foreign link",
)
_RESPONSES_LOST: Final = (Action.RESET, Action.RESET_AFTER, Action.TRUNCATE)


def draw_cluster_faults(random: Random) -> list[Step]:
    """Return one or two faults of the API server."""
    return [
        _step(random, KUBERNETES, random.choice(_CLUSTER_REQUESTS), _CLUSTER_STATUSES, _READ_CHANGES[:7])
        for _ in range(random.randint(1, 2))
    ]


def draw_cloud_faults(random: Random) -> list[Step]:
    """Return one or two faults of Azure or Entra ID."""
    faults: list[Step] = []
    for _ in range(random.randint(1, 2)):
        match random.randrange(10):
            case 0:
                faults.append(Step("fault", _entra_fault(random)))
                faults.append(Step("expire"))
            case 1:
                lag = random.choice(("readAfterWriteLag", "resourceGraphLag"))
                faults.append(Step("skew", {"seconds": 600}))
                faults.append(Step("lag", {"setting": lag, "seconds": random.choice((1, 2, 4))}))
            case 2:
                outcome = {"outcome": random.choice(("failed", "canceled")), "seconds": random.choice((0, 3600))}
                methods = random.choice(("PUT", "PATCH"))
                faults.append(Step("fault", {"service": "arm", "method": methods, "operation": outcome}))
            case _:
                request = random.choice(_CLOUD_REQUESTS)
                changes = random.choice((_READ_CHANGES, _READ_CHANGES, _TOLERATED_CHANGES))
                faults.append(_step(random, AZURE, request, _CLOUD_STATUSES, changes))
    return faults


def _entra_fault(random: Random) -> dict[str, Any]:
    """Return a fault of the token endpoint, as sandbox.cloud.faults.Fault describes it."""
    answers: tuple[dict[str, Any], ...] = (
        {"status": 200, "body": ""},
        {"status": 200, "body": '{"token_type":"Bearer","access_tok'},
        {"status": 200, "body": {}},
        {"status": 500, "body": "<html>"},
        {"status": 503, "headers": {"Retry-After": "1"}},
        {"status": 302, "headers": {"Location": "https://localhost:1/"}},
        {"cut": "before"},
        {"cut": "after"},
    )
    return {"service": "authority", "path": "/token", "times": random.randint(1, 3), **random.choice(answers)}


def _step(
    random: Random, server: str, request: dict[str, Any], statuses: tuple[int, ...], changes: tuple[str, ...]
) -> Step:
    """Return a rule for a request: an error, a lost response, a changed answer, or a delay."""
    times = random.randint(1, 3)
    is_watch = bool(request.get("watch"))
    match random.randrange(8):
        case 0 | 1 | 2:
            rule = _error(random, server, request, statuses, times)
        case 3 | 4 if not is_watch:
            rule = Rule(server, Action.CHANGE, **request, times=times, change=random.choice(changes))
        case 5 if not is_watch:
            rule = Rule(server, random.choice(_RESPONSES_LOST), **request, times=1)
        case 6:
            headers = {"Location": "{elsewhere}/moved"}
            rule = Rule(
                server, Action.ANSWER, **request, times=times, status=random.choice((302, 307)), headers=headers
            )
        case _:
            rule = Rule(server, Action.DELAY, **request, times=times, seconds=random.choice((0.5, 2.0)))
    return Step("rule", rule.as_json())


def _error(random: Random, server: str, request: dict[str, Any], statuses: tuple[int, ...], times: int) -> Rule:
    """Return an answer with an error status and one of the bodies that gateways and servers send."""
    status = random.choice(statuses)
    reason = {"kind": "Status", "status": "Failure", "message": "fault", "code": status}
    bodies = ("", "<html><body>error</body></html>", "{}", '{"error":{"code":"Fault","message":"fault"}}', str(reason))
    headers = {"Retry-After": "1"} if random.random() < 0.5 else {}
    action = random.choice((Action.ANSWER, Action.ANSWER, Action.ANSWER_AFTER))
    return Rule(server, action, **request, times=times, status=status, body=random.choice(bodies), headers=headers)
