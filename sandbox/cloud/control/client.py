"""A client for the control interface, for tests and demos."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from sandbox.loopback import loopback_client

__all__ = ["ControlClient", "ControlError"]


class ControlError(RuntimeError):
    """The control interface returned an error; the message has the reason."""


class ControlClient:
    """A blocking client of the control interface.

    Args:
        url: its address, from the line that `python -m sandbox.cloud` prints.
    """

    def __init__(self, url: str) -> None:
        self._http = loopback_client(url, timeout=90.0)

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
            ControlError: the response is an error.
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
        """Return recorded requests; see `GET /journal` for the filters (`wait=5` waits for the first match)."""
        entries: list[dict[str, Any]] = self.call("GET", "/journal", **filters)["entries"]
        return entries

    def last(self) -> int:
        """Return the number of the latest request, to be passed as `since`."""
        return int(self.call("GET", "/journal", limit=1)["last"])

    # --- time and faults

    def move(self, seconds: float, wall: float = 0.0) -> None:
        """Advance inner time, and optionally wall time."""
        self.call("POST", "/clock", move=seconds, wall=wall)

    def speed(self, factor: float) -> None:
        """Change the speed of inner time; 0 stops it."""
        self.call("POST", "/clock", speed=factor)

    def fault(self, **fault: Any) -> str:  # noqa: ANN401 - body
        """Set a fault (fields of `sandbox.cloud.faults.Fault`); return its id."""
        return str(self.call("POST", "/faults", **fault)["id"])

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.call("DELETE", "/faults")

    def settings(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - body
        """Change settings of the world (`throttling=False`) and return all settings."""
        settings: dict[str, Any] = self.call("PATCH", "/settings", **changes)
        return settings

    def variants(self, **choices: str) -> dict[str, str]:
        """Choose values of variants and return the values of all."""
        values: dict[str, str] = self.call("PATCH", "/variants", **choices)
        return values

    def reset(self) -> None:
        """Restore the initial world."""
        self.call("POST", "/reset")

    # --- identities

    def issue_code(self, account: str) -> str:
        """Issue a one-time code for Defender, as the portal's dialog does."""
        return str(self.call("POST", "/defender-codes", account=account)["code"])

    def change_account(self, account: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Change an account, such as `blocked=True`; see `AccountBody`."""
        self.call("PATCH", f"/accounts/{account}", **changes)

    def remove_access(self, account: str, *organizations: str) -> None:
        """Remove an account from organizations; without names from all."""
        self._access(account, access=False, organizations=organizations)

    def restore_access(self, account: str, *organizations: str) -> None:
        """Restore removed memberships."""
        self._access(account, access=True, organizations=organizations)

    def _access(self, account: str, *, access: bool, organizations: tuple[str, ...]) -> None:
        self.call("POST", f"/accounts/{account}/access", access=access, organizations=list(organizations) or None)

    def expire_tokens(self, principal: str | None = None) -> int:
        """Expire access tokens now; return how many."""
        return int(self.call("POST", "/tokens/expire", principal=principal)["expired"])

    def secrets(self) -> list[str]:
        """Return every token and code that Entra has issued since the last reset."""
        secrets: list[str] = self.call("GET", "/secrets")["secrets"]
        return secrets

    def register_issuer(self, issuer: str, **source: Any) -> None:  # noqa: ANN401 - body
        """Register an issuer with Entra: `jwks`, `jwksFile`, or `jwksUrl` with `bearerToken` and `caFile`."""
        self.call("POST", "/federation", issuer=issuer, **source)

    def change_application(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Replace its secrets or disable it; see `ApplicationChange`."""
        self.call("PATCH", f"/applications/{name}", **changes)

    def add_subscription(self, **subscription: Any) -> None:  # noqa: ANN401 - body
        """Add a subscription, in the format of the world file."""
        self.call("POST", "/subscriptions", **subscription)

    def change_subscription(self, identifier: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Change its providers, policies or resource groups; see `SubscriptionChange`."""
        self.call("PATCH", f"/subscriptions/{identifier}", **changes)

    def assign_role(self, role: str, principal: str, scope: str) -> None:
        """Assign a built-in role."""
        self.call("POST", "/role-assignments", role=role, principal=principal, scope=scope)

    def unassign_role(self, role: str, principal: str, scope: str) -> None:
        """Remove a built-in role."""
        self.call("POST", "/role-assignments", role=role, principal=principal, scope=scope, assigned=False)

    # --- what exists

    def world(self) -> dict[str, Any]:
        """Return a summary of the world."""
        world: dict[str, Any] = self.call("GET", "/world")
        return world

    def add_organization(self, **organization: Any) -> None:  # noqa: ANN401 - body
        """Add an organization, in the format of the world file."""
        self.call("POST", "/organizations", **organization)

    def change_organization(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Change policy, extension or tenant of an organization; see `OrganizationChange`."""
        self.call("PATCH", f"/organizations/{name}", **changes)

    def add_project(self, organization: str, **project: Any) -> None:  # noqa: ANN401 - body
        """Add a project, in the format of the world file."""
        self.call("POST", f"/organizations/{organization}/projects", **project)

    def add_repository(self, organization: str, project: str, name: str, **values: Any) -> None:  # noqa: ANN401 - body
        """Add a repository."""
        self.call("POST", f"/organizations/{organization}/projects/{project}/repositories", name=name, **values)

    def assessments(self, **filters: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - query
        """Return the assessments of all connectors (`organization`, `status`, `limit`)."""
        rows: list[dict[str, Any]] = self.call("GET", "/assessments", **filters)
        return rows

    def add_assessment(self, **assessment: Any) -> str:  # noqa: ANN401 - body
        """Add a finding or recommendation, in the format of the world file; return its key."""
        return str(self.call("POST", "/assessments", **assessment)["key"])

    def generate_assessments(self, **generator: Any) -> None:  # noqa: ANN401 - body
        """Replace what is generated, in the format of the world file (`perRepository=2`)."""
        self.call("PATCH", "/assessments", **generator)

    def resolve_assessment(self, key: str, *, resolved: bool = True) -> None:
        """Resolve an assessment now, or take that back."""
        self.call("PATCH", f"/assessments/{key}", resolved=resolved)

    def remove_assessment(self, key: str) -> None:
        """Remove an explicit assessment without a trace."""
        self.call("DELETE", f"/assessments/{key}")

    def change_project(self, organization: str, project: str, *, hidden_from: list[str]) -> None:
        """Replace the members (accounts or applications) that may not see a project."""
        self.call("PATCH", f"/organizations/{organization}/projects/{quote(project)}", hiddenFrom=hidden_from)

    def change_repository(self, organization: str, project: str, name: str, **changes: Any) -> None:  # noqa: ANN401
        """Change files, state, index or Advanced Security of a repository; see `RepositoryChange`."""
        path = f"/organizations/{organization}/projects/{quote(project)}/repositories/{quote(name)}"
        self.call("PATCH", path, **changes)

    def add_pipeline(self, organization: str, project: str, **pipeline: Any) -> int:  # noqa: ANN401 - body
        """Add a pipeline with its builds, in the format of the world file; return its id."""
        path = f"/organizations/{organization}/projects/{quote(project)}/pipelines"
        return int(self.call("POST", path, **pipeline)["id"])

    def change_pipeline(self, organization: str, project: str, name: str, **changes: Any) -> None:  # noqa: ANN401
        """Change a pipeline by name or id; see `PipelineChange`."""
        self.call("PATCH", self._pipeline(organization, project, name), **changes)

    def delete_pipeline(self, organization: str, project: str, name: str) -> None:
        """Delete a pipeline with its builds."""
        self.call("DELETE", self._pipeline(organization, project, name))

    def add_build(self, organization: str, project: str, pipeline: str, **build: Any) -> int:  # noqa: ANN401 - body
        """Add a build of a pipeline, in the format of the world file; return its id."""
        return int(self.call("POST", f"{self._pipeline(organization, project, pipeline)}/builds", **build)["id"])

    @staticmethod
    def _pipeline(organization: str, project: str, name: str) -> str:
        return f"/organizations/{organization}/projects/{quote(project)}/pipelines/{quote(str(name), safe='')}"

    def pipelines(self, organization: str) -> dict[str, Any]:
        """Return pipelines by project, the number of builds, and the scenarios of generated repositories."""
        pipelines: dict[str, Any] = self.call("GET", f"/organizations/{organization}/pipelines")
        return pipelines

    def add_policy(self, organization: str, project: str, **policy: Any) -> int:  # noqa: ANN401 - body
        """Add a branch policy, in the format of the world file; return its id."""
        return int(
            self.call("POST", f"/organizations/{organization}/projects/{quote(project)}/policies", **policy)["id"]
        )

    def change_policy(self, organization: str, project: str, identifier: int, **changes: Any) -> None:  # noqa: ANN401
        """Enable, disable or delete a branch policy; see `BranchPolicyChange`."""
        self.call("PATCH", f"/organizations/{organization}/projects/{quote(project)}/policies/{identifier}", **changes)

    def usage(self) -> dict[str, dict[str, float]]:
        """Return the throughput units of Azure DevOps by account: `used` in five minutes, and their `peak`."""
        usage: dict[str, dict[str, float]] = self.call("GET", "/usage")
        return usage

    def add_connector(self, **connector: Any) -> str:  # noqa: ANN401 - body
        """Create a connector as in the portal, authorized by its `account`; return its id."""
        return str(self.call("POST", "/connectors", **connector)["id"])

    def change_connector(self, subscription: str, group: str, name: str, **changes: Any) -> None:  # noqa: ANN401 - body
        """Change a connector outside of the operator; see `ConnectorChange`."""
        self.call("PATCH", f"/connectors/{subscription}/{group}/{name}", **changes)

    def delete_connector(self, subscription: str, group: str, name: str) -> None:
        """Delete a connector outside of the operator."""
        self.call("DELETE", f"/connectors/{subscription}/{group}/{name}")
