from __future__ import annotations

import pytest

from defender_devops import errors
from defender_devops.cli.exit_codes import ExitCode, command_failure

CASES = [
    (errors.KubernetesRefused("There is no usable configuration of a Kubernetes cluster (no file)."), "NO_CLUSTER"),
    (errors.KubernetesUnavailable("The Kubernetes API server does not answer."), "NO_CLUSTER"),
    (errors.KubernetesNotFound("the server could not find the requested resource", status=404), "NO_CLUSTER"),
    (errors.KubernetesUnavailable("credentials", status=401), "NO_RIGHTS"),
    (errors.KubernetesRefused('User "jane" cannot list', status=403), "NO_RIGHTS"),
    (errors.KubernetesRefused("spec.x is invalid", status=422), "NOT_OK"),
    (errors.KubernetesConflict("changed", status=409), "NOT_OK"),
    (errors.KubernetesUnavailable("etcd is down", status=500), "NOT_OK"),
    (errors.CredentialsMissing("Nobody is signed in."), "AZURE"),
    (errors.Forbidden("Azure forbids it.", status=403), "AZURE"),
    (errors.AzureUnavailable("Azure does not answer."), "AZURE"),
    (errors.AzureDevOpsUnavailable("Azure DevOps does not answer."), "AZURE"),
]


@pytest.mark.parametrize(("error", "code"), CASES, ids=str)
def test_each_error_has_its_exit_status(error: errors.OperatorError, code: str) -> None:
    assert command_failure(error).exit_code is ExitCode[code]


def test_a_missing_permission_is_named_with_the_message_of_the_server() -> None:
    failure = command_failure(errors.KubernetesRefused('User "jane" cannot list adoc', status=403))
    assert failure.message.startswith('Permission denied: User "jane" cannot list adoc. ')


def test_a_cluster_without_the_operator_gets_advice_to_install_it() -> None:
    assert "install the operator" in command_failure(errors.KubernetesNotFound("not found", status=404)).message


def test_rejected_credentials_are_not_called_the_operator_s() -> None:
    failure = command_failure(errors.KubernetesUnavailable("rejected the operator's credentials", status=401))
    assert "operator" not in failure.message


def test_a_command_does_not_promise_a_retry() -> None:
    failure = command_failure(errors.AzureUnavailable("Azure did not answer in time. The operator will retry."))
    assert failure.message == "Azure did not answer in time. Try again."
