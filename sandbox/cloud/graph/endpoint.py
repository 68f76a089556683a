"""`POST /providers/Microsoft.ResourceGraph/resources`: queries, page by page."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.arm.authorization.rights import Rights
from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.graph.errors import QueryError, semantic
from sandbox.cloud.graph.query import Query, parse_query
from sandbox.cloud.graph.quota import Quota
from sandbox.cloud.graph.tables import TABLES, GraphRow, Snapshot, scan_containers, scan_role_assignments
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.azure import Subscription

__all__ = ["ResourceGraph"]

_MOST_ROWS = 1000
_DEFAULT_ROWS = 100
_MOST_BYTES = 16_777_216
_KEPT_RESULTS = 8

_READ_CONNECTOR = "Microsoft.Security/securityConnectors/read"
_READ_SUBSCRIPTION = "Microsoft.Resources/subscriptions/read"
_READ_ASSIGNMENTS = "Microsoft.Authorization/roleAssignments/read"


@dataclass(frozen=True, slots=True)
class _Result:
    """Rows of a query, stored for its next pages."""

    rows: list[dict[str, Any]]
    query: Query


class ResourceGraph:
    """Resource Graph, with the quota of each principal and the stored results of paged queries."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights
        self._quota = Quota()
        self._results: OrderedDict[str, _Result] = OrderedDict()
        self._numbers = itertools.count(1)

    async def answer(self, call: Call) -> Reply:
        """Answer a query. It is evaluated in a thread, over a snapshot of the world."""
        granted, headers = self._quota.spend(call.principal.object_id, call.world.clock.wall())
        if not granted and call.world.settings.throttling:
            raise _throttled(call, headers)
        try:
            return await self._answer(call, headers)
        except QueryError as error:
            raise ArmError(400, "BadRequest", _support(call), details=error.details, headers=headers) from error

    async def _answer(self, call: Call, headers: dict[str, str]) -> Reply:
        body = call.body()
        options = _Options.parse(body.get("options"))
        key, result = self._stored_result(call, options)
        if result is None:
            result = await self._evaluate(call, body)
            self._results[key] = result
            while len(self._results) > _KEPT_RESULTS:
                self._results.popitem(last=False)
        reply = json_reply(_page(options, key, result), headers=headers)
        if len(reply.body) > _MOST_BYTES:
            message = (
                f"Response payload size is {len(reply.body)}, and has exceeded the limit of {_MOST_BYTES}. Please "
                "consider querying less data at a time and make paginated call if needed."
            )
            raise QueryError({"code": "ResponsePayloadTooLarge", "message": message})
        return reply

    async def _evaluate(self, call: Call, body: dict[str, Any]) -> _Result:
        text = body.get("query")
        if not isinstance(text, str) or not text.strip():
            raise semantic("The query is empty.")
        query = parse_query(text, TABLES)
        source = self._source(call, self._subscriptions(call, body.get("subscriptions")))
        # In a thread: a query over 100,000 rows would block all other requests.
        rows = await asyncio.to_thread(query.run, source)
        return _Result(rows, query)

    def _subscriptions(self, call: Call, requested: object) -> list[Subscription]:
        """Return the requested subscriptions, as far as they are in the tenant of the principal."""
        subscriptions = call.world.subscriptions
        if requested is not None and not isinstance(requested, list):
            raise QueryError({"code": "InvalidRequest", "message": "subscriptions must be a list."})
        names = list(subscriptions) if requested is None else [str(name).lower() for name in requested]
        selected = [
            subscriptions[name]
            for name in names
            if name in subscriptions and subscriptions[name].tenant_id == call.principal.tenant_id
        ]
        if not selected and requested is not None:
            message = (
                f"There must be at least one subscription that is eligible to contain resources. Given: '{names}'."
            )
            raise QueryError({"code": "NoValidSubscriptionsInQueryRequest", "message": message})
        return selected

    def _source(self, call: Call, subscriptions: list[Subscription]) -> Callable[[str], Iterable[GraphRow]]:
        """Return a function that gives the rows of a table as the principal may read them."""
        world, lag = call.world, call.world.settings.resource_graph_lag
        identifiers = {subscription.id for subscription in subscriptions}
        may = self._rights.allows
        readable = [
            connector
            for connector in world.connectors_with_lag(lag).values()
            if connector.subscription_id in identifiers and may(world, call.principal, _READ_CONNECTOR, connector.id)
        ]
        moment = call.now - lag
        snapshot = Snapshot(world, readable, moment, children=world.settings.resource_graph_children)

        def at(action: str) -> list[Subscription]:
            return [
                subscription
                for subscription in subscriptions
                if may(world, call.principal, action, f"/subscriptions/{subscription.id}")
            ]

        containers, assignments = at(_READ_SUBSCRIPTION), {subscription.id for subscription in at(_READ_ASSIGNMENTS)}
        tables: dict[str, Callable[[], Iterable[GraphRow]]] = {
            "resources": snapshot.connectors,
            "securityresources": snapshot.children if world.settings.resource_graph_children else tuple,
            "resourcecontainers": lambda: scan_containers(containers),
            "authorizationresources": lambda: scan_role_assignments(world, assignments, moment),
        }
        return lambda table: tables[table]()

    def _stored_result(self, call: Call, options: _Options) -> tuple[str, _Result | None]:
        """Return the stored result of a skip token.

        Raises:
            QueryError: unknown or expired token.
        """
        if options.result is None:
            return f"{call.principal.object_id}/{next(self._numbers)}", None
        result = self._results.get(options.result)
        # The key begins with the principal, so that no one can read the pages of another one.
        if result is None or not options.result.startswith(f"{call.principal.object_id}/"):
            raise QueryError({"code": "InvalidSkipToken", "message": "The skip token is invalid or has expired."})
        return options.result, result


@dataclass(frozen=True, slots=True)
class _Options:
    """`options` of a request: page size, position, stored result, result format."""

    top: int
    skip: int
    result: str | None
    table: bool

    @classmethod
    def parse(cls, value: object) -> _Options:
        """Parse the options.

        Raises:
            QueryError: invalid value.
        """
        options = value if isinstance(value, dict) else {}
        top = options.get("$top")
        top = _DEFAULT_ROWS if top is None else top
        if not isinstance(top, int) or not 1 <= top <= _MOST_ROWS:
            raise QueryError({"code": "InvalidTop", "message": f"$top must be between 1 and {_MOST_ROWS}."})
        skip, result = int(options.get("$skip") or 0), None
        if options.get("$skipToken"):
            skip, result = _read_token(str(options["$skipToken"]))
        form = options.get("resultFormat") or "objectArray"
        if form not in ("objectArray", "table"):
            raise QueryError({"code": "InvalidResultFormat", "message": f"Unknown result format '{form}'."})
        return cls(top, skip, result, form == "table")


def _read_token(token: str) -> tuple[int, str]:
    try:
        content = json.loads(base64.b64decode(token))
        return int(content["$skip"]), str(content["$id"])
    except (ValueError, KeyError, TypeError) as error:
        raise QueryError({"code": "InvalidSkipToken", "message": "The skip token is invalid."}) from error


def _page(options: _Options, key: str, result: _Result) -> dict[str, Any]:
    """Return one page. Further pages exist only if `id` is projected and the rows are ordered."""
    names = list(result.query.schema)
    part = result.rows[options.skip : options.skip + options.top]
    rows = [{name: row[name] for name in names} for row in part]
    following = options.skip + len(part)
    more = following < len(result.rows)
    pageable = "id" in result.query.schema and result.query.ordered
    body: dict[str, Any] = {
        "totalRecords": len(result.rows),
        "count": len(rows),
        "data": _as_table(rows, result.query.schema) if options.table else rows,
        "facets": [],
        "resultTruncated": "true" if more and not pageable else "false",
    }
    if more and pageable:
        token = json.dumps({"$id": key, "$skip": following})
        body["$skipToken"] = base64.b64encode(token.encode()).decode()
    return body


def _as_table(rows: list[dict[str, Any]], schema: dict[str, str]) -> dict[str, Any]:
    kinds = {"string": "string", "long": "integer", "real": "number", "bool": "boolean", "datetime": "datetime"}
    columns = [{"name": name, "type": kinds.get(kind, "object")} for name, kind in schema.items()]
    return {"columns": columns, "rows": [list(row.values()) for row in rows]}


def _support(call: Call) -> str:
    stamp = call.world.clock.stamp()
    return f"Please provide below info when asking for support: timestamp = {stamp}, correlationId = {uuid.uuid4()}."


def _throttled(call: Call, headers: dict[str, str]) -> ArmError:
    message = (
        "Client application has been throttled and should not attempt to repeat the request until an amount of time "
        "has elapsed. Please see https://aka.ms/resourcegraph-throttling for help."
    )
    details = [{"code": "RateLimiting", "message": message}]
    return ArmError(429, "RateLimiting", _support(call), details=details, headers=headers)
