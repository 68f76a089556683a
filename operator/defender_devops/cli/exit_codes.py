"""Exit codes, and the one-line message for each error of the operator's code."""

from __future__ import annotations

from enum import IntEnum

from defender_devops.errors import (
    WILL_RETRY,
    AzureDevOpsError,
    AzureError,
    CredentialsError,
    KubernetesError,
    KubernetesNotFound,
    KubernetesUnavailable,
    OperatorError,
)
from defender_devops.http_client import InvalidCertificateAuthorities
from defender_devops.proxies import InvalidProxy

__all__ = ["CommandFailed", "ExitCode", "command_failure"]

_UNAUTHORIZED = 401
_FORBIDDEN = 403


class ExitCode(IntEnum):
    """Exit codes that scripts rely on (docs/cli.md)."""

    OK = 0
    NOT_OK = 1
    """A connector is not ready, a change is refused, or a check failed."""
    USAGE = 2
    """Invalid option, name, file or manifest."""
    NO_CLUSTER = 3
    """No kubeconfig, no response from the API server, or no operator in the cluster."""
    NO_RIGHTS = 4
    """The cluster rejects the credentials, or they lack a permission."""
    AZURE = 5
    """Azure or Azure DevOps: not signed in, no permission, or no response."""
    CHANGES = 6
    """With `plan --exit-code`: something would change."""
    BUG = 70
    INTERRUPTED = 130


class CommandFailed(Exception):
    """A command cannot do what was requested.

    Args:
        message: one line with the cause and the step that fixes it.
        exit_code: exit code of the program.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def command_failure(error: OperatorError) -> CommandFailed:
    """Return an error of the operator's code as the command line reports it."""
    if isinstance(error, InvalidProxy | InvalidCertificateAuthorities):
        return CommandFailed(error.message, ExitCode.USAGE)
    if not isinstance(error, KubernetesError):
        # A reconcile is repeated automatically, a command is not.
        message = error.message.replace(WILL_RETRY, "Try again.")
        is_azure = isinstance(error, AzureError | AzureDevOpsError | CredentialsError)
        return CommandFailed(message, ExitCode.AZURE if is_azure else ExitCode.NOT_OK)
    if isinstance(error, KubernetesNotFound):
        return CommandFailed(
            "This cluster has no resource type AzureDevOpsConnector: install the operator in it, or select another "
            "cluster with --context.",
            ExitCode.NO_CLUSTER,
        )
    if error.status == _UNAUTHORIZED:
        return CommandFailed(
            "The cluster rejects your credentials: sign in to it again, or select another cluster with --context.",
            ExitCode.NO_RIGHTS,
        )
    if error.status == _FORBIDDEN:
        return CommandFailed(
            f"Permission denied: {error.message.rstrip('.')}. Request the permission, or select another namespace "
            "with -n.",
            ExitCode.NO_RIGHTS,
        )
    message, exit_code = error.message.replace(WILL_RETRY, "Try again."), ExitCode.NOT_OK
    if error.status is None:  # not a response: the kubeconfig is invalid, or the server cannot be reached
        exit_code = ExitCode.NO_CLUSTER
        if isinstance(error, KubernetesUnavailable):
            message += " Is it the right cluster? Select another one with --context or --kubeconfig."
        else:
            message = message.replace("Run in a pod, or set KUBECONFIG.", "Set KUBECONFIG, or pass --kubeconfig.")
    return CommandFailed(message, exit_code)
