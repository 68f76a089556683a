"""A client for the control interface: what tests and demos hold the simulated cloud by."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

__all__ = ["ControlClient", "ControlError"]


class ControlError(RuntimeError):
    """The control interface refused; the message says why."""


class ControlClient:
    """Talks to the control interface, blocking.

    Args:
        url: its address, from the line that `python -m sandbox.cloud` prints.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=90.0, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, method: str, path: str, /, **values: Any) -> Any:  # noqa: ANN401 - JSON
        """Call any endpoint; the values are its body, or its query for GET.

        Raises:
            ControlError: it refused.
        """
        if method == "GET":
            answer = self._http.get(path, params=values)
        else:
            answer = self._http.request(method, path, json=values)
        body = answer.json()
        if answer.is_error:
            raise ControlError(f"{method} {path}: {body.get('error', body)}")
        return body

    # --- the journal

    def journal(self, **filters: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - query
        """Requests that happened; see `GET /journal` for what can be wanted (`wait=5` waits for the first)."""
        entries: list[dict[str, Any]] = self.call("GET", "/journal", **filters)["entries"]
        return entries

    def last(self) -> int:
        """Number of the latest request: pass it as `since` to see what comes after."""
        return int(self.call("GET", "/journal", limit=1)["last"])

    # --- time and faults

    def move(self, seconds: float, wall: float = 0.0) -> None:
        """Let inner time pass at once, and wall time as far as asked for."""
        self.call("POST", "/clock", move=seconds, wall=wall)

    def speed(self, factor: float) -> None:
        """Run at another speed; 0 stands still."""
        self.call("POST", "/clock", speed=factor)

    def fault(self, **fault: Any) -> str:  # noqa: ANN401 - body
        """Set a fault, in the words of `sandbox.cloud.faults.Fault`; gives its id."""
        return str(self.call("POST", "/faults", **fault)["id"])

    def clear_faults(self) -> None:
        """Take all faults away."""
        self.call("DELETE", "/faults")

    def settings(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - body
        """Switch something of the world (`throttling=False`), or only read the switches."""
        settings: dict[str, Any] = self.call("PATCH", "/settings", **changes)
        return settings

    def reset(self) -> None:
        """Begin again with the world file."""
        self.call("POST", "/reset")

    # --- people

    def issue_code(self, account: str) -> str:
        """A one-time code for Defender, as the portal's dialog issues it."""
        return str(self.call("POST", "/defender-codes", account=account)["code"])

    def change_account(self, account: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Block it (`blocked=True`), delete it, change its password, revoke; see `AccountBody`."""
        self.call("PATCH", f"/accounts/{account}", **changes)

    def remove_access(self, account: str, *organizations: str) -> None:
        """Take an account out of organizations; without names out of all."""
        self._access(account, access=False, organizations=organizations)

    def restore_access(self, account: str, *organizations: str) -> None:
        """Give back what was taken."""
        self._access(account, access=True, organizations=organizations)

    def _access(self, account: str, *, access: bool, organizations: tuple[str, ...]) -> None:
        self.call("POST", f"/accounts/{account}/access", access=access, organizations=list(organizations) or None)

    def expire_tokens(self, principal: str | None = None) -> int:
        """Let access tokens expire now; says how many."""
        return int(self.call("POST", "/tokens/expire", principal=principal)["expired"])

    def secrets(self) -> list[str]:
        """Every token and code that Entra has handed out since the last reset."""
        secrets: list[str] = self.call("GET", "/secrets")["secrets"]
        return secrets

    def register_issuer(self, issuer: str, **source: Any) -> None:  # noqa: ANN401 - body
        """Make an issuer's keys known to Entra: `jwks`, `jwksFile`, or `jwksUrl` with `bearerToken` and `caFile`."""
        self.call("POST", "/federation", issuer=issuer, **source)

    def change_application(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Replace its secrets or disable it; see `ApplicationChange`."""
        self.call("PATCH", f"/applications/{name}", **changes)

    def add_subscription(self, **subscription: Any) -> None:  # noqa: ANN401 - body
        """Add a subscription, in the words of the world file."""
        self.call("POST", "/subscriptions", **subscription)

    def change_subscription(self, identifier: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Change its providers, policies or resource groups; see `SubscriptionChange`."""
        self.call("PATCH", f"/subscriptions/{identifier}", **changes)

    def assign_role(self, role: str, principal: str, scope: str) -> None:
        """Give a built-in role."""
        self.call("POST", "/role-assignments", role=role, principal=principal, scope=scope)

    def unassign_role(self, role: str, principal: str, scope: str) -> None:
        """Take a built-in role."""
        self.call("POST", "/role-assignments", role=role, principal=principal, scope=scope, assigned=False)

    # --- what exists

    def world(self) -> dict[str, Any]:
        """The world at a glance."""
        world: dict[str, Any] = self.call("GET", "/world")
        return world

    def add_organization(self, **organization: Any) -> None:  # noqa: ANN401 - body
        """Add an organization, in the words of the world file."""
        self.call("POST", "/organizations", **organization)

    def change_organization(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Switch its policy, extension or tenant; see `OrganizationChange`."""
        self.call("PATCH", f"/organizations/{name}", **changes)

    def add_project(self, organization: str, **project: Any) -> None:  # noqa: ANN401 - body
        """Add a project, in the words of the world file."""
        self.call("POST", f"/organizations/{organization}/projects", **project)

    def add_repository(self, organization: str, project: str, name: str, **values: Any) -> None:  # noqa: ANN401 - body
        """Add a repository."""
        self.call("POST", f"/organizations/{organization}/projects/{project}/repositories", name=name, **values)

    def add_connector(self, **connector: Any) -> str:  # noqa: ANN401 - body
        """Make a connector as a person does in the portal, authorized by its `account`; gives its id."""
        return str(self.call("POST", "/connectors", **connector)["id"])

    def change_connector(self, subscription: str, group: str, name: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Change a connector behind everybody's back; see `ConnectorChange`."""
        self.call("PATCH", f"/connectors/{subscription}/{group}/{name}", **changes)

    def delete_connector(self, subscription: str, group: str, name: str) -> None:
        """Delete a connector behind everybody's back."""
        self.call("DELETE", f"/connectors/{subscription}/{group}/{name}")
