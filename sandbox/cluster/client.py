"""A small synchronous client of the Kubernetes API, for the sandbox, the demo and the tests.

The operator has an asynchronous one of its own; tests of it should not share its code.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

__all__ = ["ApiError", "KubernetesClient", "Manifest", "condition"]

Manifest = dict[str, Any]

_NOT_FOUND = 404
_TOO_MANY_REQUESTS = 429
_ATTEMPTS = 10
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class ApiError(Exception):
    """An error response of the API server, with its message.

    Attributes:
        status: HTTP status.
        reason: reason code, such as `Invalid` or `Forbidden`.
    """

    def __init__(self, response: httpx.Response) -> None:
        body = response.json() if "json" in response.headers.get("content-type", "") else {"message": response.text}
        super().__init__(body.get("message") or f"HTTP {response.status_code}")
        self.status = response.status_code
        self.reason = str(body.get("reason", ""))


@dataclass(frozen=True)
class _Resource:
    """The API path of a kind."""

    api_version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str | None = None) -> str:
        parts = ["api" if "/" not in self.api_version else "apis", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/" + "/".join([*parts, self.plural, *([name] if name else [])])


class KubernetesClient:
    """The Kubernetes API, as one user.

    A `kind` is written as `ConfigMap`, or with its version if two groups have a kind of this name:
    `events.k8s.io/v1/Event`.
    """

    def __init__(self, server: str, ca: Path, token: str) -> None:
        self._http = httpx.Client(
            base_url=server,
            verify=ssl.create_default_context(cafile=str(ca)),
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
        )
        self._resources: dict[str, _Resource] = {}

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(
        self, method: str, path: str, *, body: object = None, content_type: str = "application/json", **params: str
    ) -> Any:  # noqa: ANN401 - JSON
        """Send a request by path, for APIs without a method here.

        Like Kubernetes' own clients it retries 429 responses, which the API server sends while the storage of a
        new kind is being set up.

        Raises:
            ApiError: status 400 or above.
            httpx.TransportError: no response.
        """
        for _ in range(_ATTEMPTS):
            response = self._http.request(
                method, path, params=params, headers={"Content-Type": content_type}, json=body
            )
            if response.status_code != _TOO_MANY_REQUESTS:
                break
            time.sleep(float(response.headers.get("Retry-After", "1")))
        if response.is_error:
            raise ApiError(response)
        return response.json() if "json" in response.headers.get("content-type", "") else response.text

    def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """Return an object, or None if it does not exist."""
        try:
            manifest: Manifest = self.request("GET", self._resource(kind).path(namespace, name))
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return manifest

    def list_all(
        self, kind: str, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[Manifest]:
        """Return all objects of a kind, in one namespace or in all, filtered by selectors."""
        resource = self._resource(kind)
        answer = self.request("GET", resource.path(namespace), labelSelector=labels, fieldSelector=fields)
        kind = kind.rpartition("/")[2]
        return [{"apiVersion": resource.api_version, "kind": kind, **item} for item in answer["items"]]

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object; fails if it exists."""
        created: Manifest = self.request("POST", self._path(manifest, with_name=False), body=manifest)
        return created

    def replace(self, manifest: Manifest) -> Manifest:
        """Replace an object with a manifest that has its resourceVersion, as `kubectl replace` does."""
        replaced: Manifest = self.request("PUT", self._path(manifest), body=manifest)
        return replaced

    def apply(self, manifest: Manifest, *, manager: str = "sandbox", dry_run: bool = False) -> Manifest:
        """Server-side apply with force, as `kubectl apply --server-side --force-conflicts` does."""
        params = {"fieldManager": manager, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        applied: Manifest = self.request(
            "PATCH", self._path(manifest), body=manifest, content_type="application/apply-patch+yaml", **params
        )
        return applied

    def apply_all(self, manifests: Iterable[Manifest], *, manager: str = "sandbox") -> None:
        """Apply in the order of dependencies, and wait until CRDs are served."""
        first = {"Namespace": 0, "CustomResourceDefinition": 1, "ServiceAccount": 2}
        for manifest in sorted(manifests, key=lambda manifest: first.get(manifest["kind"], len(first))):
            self.apply(manifest, manager=manager)
            if manifest["kind"] == "CustomResourceDefinition":
                self.wait_established(manifest["metadata"]["name"])

    def wait_established(self, crd: str) -> None:
        """Wait until the API server serves a CustomResourceDefinition."""
        self.wait(
            "CustomResourceDefinition",
            crd,
            until=lambda definition: condition(definition, "Established").get("status") == "True",
        )

    def patch(
        self, kind: str, name: str, change: Manifest, namespace: str | None = None, *, subresource: str | None = None
    ) -> Manifest:
        """Merge patch."""
        path = self._resource(kind).path(namespace, name) + (f"/{subresource}" if subresource else "")
        patched: Manifest = self.request(
            "PATCH", path, body=change, content_type="application/merge-patch+json", fieldManager="sandbox"
        )
        return patched

    def delete(self, kind: str, name: str, namespace: str | None = None, *, propagation: str = "Background") -> None:
        """Delete an object; one that does not exist counts as deleted."""
        try:
            self.request("DELETE", self._resource(kind).path(namespace, name), propagationPolicy=propagation)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise

    def wait(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        until: Callable[[Manifest], object],
        timeout: float = 30,
    ) -> Manifest:
        """Wait until the object exists and `until` holds for it.

        Raises:
            TimeoutError: it does not hold within `timeout` seconds; the message ends with the status.
        """
        manifest = None
        for manifest in self._versions(kind, name, namespace, timeout):
            if manifest is not None and until(manifest):
                return manifest
        status = yaml.safe_dump(manifest.get("status", {})) if manifest else "it does not exist"
        raise TimeoutError(f"{kind} {namespace or ''}/{name} is not as expected after {timeout} s:\n{status}")

    def wait_deleted(self, kind: str, name: str, namespace: str | None = None, *, timeout: float = 30) -> None:
        """Wait until the object does not exist any more.

        Raises:
            TimeoutError: it still exists after `timeout` seconds.
        """
        manifest: Manifest = {}
        for version in self._versions(kind, name, namespace, timeout):
            if version is None:
                return
            manifest = version
        remainder = yaml.safe_dump(
            {"finalizers": manifest["metadata"].get("finalizers"), "status": manifest.get("status")}
        )
        raise TimeoutError(f"{kind} {namespace or ''}/{name} is still there after {timeout} s:\n{remainder}")

    def _versions(self, kind: str, name: str, namespace: str | None, timeout: float) -> Iterator[Manifest | None]:
        """Yield the object now and after each change, None where it does not exist, for `timeout` seconds.

        Watching costs the API server a tenth of what frequent reads do. The last version is yielded again every
        second, as a caller's condition may depend on more than the object.
        """
        deadline = time.monotonic() + timeout
        path = self._resource(kind).path(namespace)
        manifest = self.get(kind, name, namespace)
        yield manifest
        while time.monotonic() < deadline:
            # Without a resourceVersion the watch begins with the current object, if there is one.
            version = {"resourceVersion": manifest["metadata"]["resourceVersion"]} if manifest else {}
            selection = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": "1"}
            with self._http.stream("GET", path, params=selection | version) as response:
                if response.is_error:
                    response.read()
                    if response.status_code != _TOO_MANY_REQUESTS:
                        raise ApiError(response)
                    time.sleep(float(response.headers.get("Retry-After", "1")))
                for line in response.iter_lines():
                    event = json.loads(line)
                    if event["type"] == "ERROR":  # such as 410 Gone: the version is too old to watch from
                        manifest = self.get(kind, name, namespace)
                        break
                    manifest = None if event["type"] == "DELETED" else event["object"]
                    yield manifest
            yield manifest

    def service_account_token(
        self, name: str, namespace: str, audiences: Sequence[str] = (), seconds: int = 3600
    ) -> str:
        """Request a token (TokenRequest), for the API itself or for other audiences.

        Its lifetime is `seconds`; the API server requires at least 600.
        """
        path = self._resource("ServiceAccount").path(namespace, name) + "/token"
        spec = {"audiences": list(audiences), "expirationSeconds": seconds}
        answer = self.request(
            "POST", path, body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        )
        return str(answer["status"]["token"])

    def _path(self, manifest: Manifest, *, with_name: bool = True) -> str:
        metadata = manifest["metadata"]
        resource = self._resource(f"{manifest['apiVersion']}/{manifest['kind']}")
        return resource.path(metadata.get("namespace", "default"), metadata["name"] if with_name else None)

    def _resource(self, kind: str) -> _Resource:
        if kind not in self._resources:
            self._resources = self._discover()
        if kind not in self._resources:
            raise LookupError(f"the API server does not know the kind {kind}; is its CRD installed?")
        return self._resources[kind]

    def _discover(self) -> dict[str, _Resource]:
        resources: dict[str, _Resource] = {}
        for root in ("/api", "/apis"):
            response = self._http.get(root, headers={"Accept": _DISCOVERY}).raise_for_status().json()
            for group in response["items"]:
                prefix = f"{group['metadata']['name']}/" if group["metadata"].get("name") else ""
                for version in group["versions"]:
                    _collect(resources, prefix + version["version"], version.get("resources", []))
        return resources


def _collect(resources_by_kind: dict[str, _Resource], api_version: str, resources: Iterable[Manifest]) -> None:
    """Add the kinds of a version; the bare kind refers to the version that the server lists first."""
    for entry in resources:
        resource = _Resource(api_version, entry["resource"], entry["scope"] == "Namespaced")
        kind = entry["responseKind"]["kind"]
        resources_by_kind[f"{api_version}/{kind}"] = resource
        resources_by_kind.setdefault(kind, resource)


def condition(manifest: Manifest, type_: str) -> dict[str, Any]:
    """Return a condition of an object's status; empty if it has none of that type."""
    conditions: list[dict[str, Any]] = manifest.get("status", {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == type_), {})
