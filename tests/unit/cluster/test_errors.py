from __future__ import annotations

import pytest

from defender_devops.cluster.errors import kubernetes_error, parse_error_body, rbac_verb, resource_name
from defender_devops.errors import (
    KubernetesConflict,
    KubernetesError,
    KubernetesNotFound,
    KubernetesRefused,
    KubernetesUnavailable,
)

TEST_FAILED = "the server rejected our request due to an error in our request"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, KubernetesRefused),
        (401, KubernetesUnavailable),
        (403, KubernetesRefused),
        (404, KubernetesNotFound),
        (405, KubernetesRefused),
        (408, KubernetesUnavailable),
        (409, KubernetesConflict),
        (410, KubernetesUnavailable),
        (413, KubernetesRefused),
        (415, KubernetesRefused),
        (422, KubernetesRefused),
        (429, KubernetesUnavailable),
        (500, KubernetesUnavailable),
        (503, KubernetesUnavailable),
        (504, KubernetesUnavailable),
    ],
)
def test_each_status_has_one_error_class_and_only_a_refusal_is_terminal(
    status: int, error: type[KubernetesError]
) -> None:
    result = kubernetes_error(status, {"kind": "Status", "message": "the cause"}, {})
    assert type(result) is error
    assert result.status == status
    assert "the cause" in result.message
    assert result.terminal == (error is KubernetesRefused)


@pytest.mark.parametrize(
    ("message", "json_patch", "error"),
    [
        (TEST_FAILED, True, KubernetesConflict),
        (TEST_FAILED, False, KubernetesRefused),
        ('ConfigMap "a" is invalid: metadata.uid: field is immutable', True, KubernetesRefused),
    ],
)
def test_a_failed_test_of_a_json_patch_is_a_conflict(
    message: str, json_patch: bool, error: type[KubernetesError]
) -> None:
    body = {"kind": "Status", "message": message}
    assert type(kubernetes_error(422, body, {}, json_patch=json_patch)) is error


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({}, {"details": {"retryAfterSeconds": 3}}, 3.0),
        ({"Retry-After": "Tue, 24 Nov 2026 05:00:00 GMT"}, {"details": {"retryAfterSeconds": 3}}, 3.0),
        ({}, {"details": {}}, None),
        ({}, {"details": []}, None),
        ({}, {"details": {"retryAfterSeconds": "soon"}}, None),
        ({}, {"details": {"retryAfterSeconds": -1}}, None),
        ({"Retry-After": "999999"}, {}, 3600.0),
        ({}, {}, None),
    ],
)
def test_the_retry_after_of_a_busy_server_is_read(
    headers: dict[str, str], body: dict[str, object], seconds: float | None
) -> None:
    assert kubernetes_error(429, body, headers).retry_after == seconds


def test_a_long_message_is_truncated() -> None:
    assert len(kubernetes_error(422, {"kind": "Status", "message": "x" * 100_000}, {}).message) == 1000


@pytest.mark.parametrize("content", [b"", b"<html>Bad gateway</html>", b"[1]", b'"text"', b"\xff"])
def test_a_response_that_is_no_object_counts_as_empty(content: bytes) -> None:
    assert parse_error_body(content) == {}
    assert kubernetes_error(502, parse_error_body(content), {}).message == "HTTP 502"


NS = "/apis/defender-devops.io/v1alpha1/namespaces/security"


@pytest.mark.parametrize(
    ("method", "url", "verb", "resource"),
    [
        ("GET", f"{NS}/azuredevopsconnectors/contoso?x=y", "get", "azuredevopsconnectors"),
        ("GET", f"{NS}/azuredevopsconnectors?limit=500", "list", "azuredevopsconnectors"),
        ("GET", "/apis/defender-devops.io/v1alpha1/devopsorganizations", "list", "devopsorganizations"),
        ("PATCH", f"{NS}/azuredevopsconnectors/contoso/status", "patch", "azuredevopsconnectors/status"),
        ("POST", "/api/v1/namespaces/security/serviceaccounts/sa/token", "create", "serviceaccounts/token"),
        ("PUT", "/api/v1/namespaces/security/secrets/tokens", "update", "secrets"),
        ("DELETE", f"{NS}/devopsorganizations/contoso-fabrikam", "delete", "devopsorganizations"),
        ("GET", "/api/v1/namespaces/kube-system", "get", "namespaces"),
        ("GET", "/api/v1/namespaces", "list", "namespaces"),
        ("GET", "/version", "list", "unknown"),
    ],
)
def test_verb_and_resource_are_named_as_in_rbac(method: str, url: str, verb: str, resource: str) -> None:
    assert (rbac_verb(method, url), resource_name(url)) == (verb, resource)
