"""Exit statuses, and the one line that is said of an error."""

from __future__ import annotations

from enum import IntEnum

from defender_devops.errors import (
    WILL_RETRY,
    AzureDevOpsError,
    AzureError,
    CredentialsError,
    KubernetesError,
    KubernetesNotFound,
    KubernetesRefused,
    KubernetesUnavailable,
    OperatorError,
)

__all__ = ["CommandFailed", "ExitCode", "failure_of"]

_UNAUTHORIZED = 401
_FORBIDDEN = 403


class ExitCode(IntEnum):
    """What a script can rely on (docs/cli.md)."""

    OK = 0
    NOT_OK = 1
    """Not ready, refused, or a check failed."""
    USAGE = 2
    """What was typed: an option, a name, a file that cannot be read, an invalid manifest."""
    NO_CLUSTER = 3
    """No kubeconfig, no answer, or no operator in the cluster."""
    NO_RIGHTS = 4
    """The cluster does not take these credentials, or they do not suffice."""
    AZURE = 5
    """Azure or Azure DevOps: not signed in, no rights there, no answer."""
    CHANGES = 6
    """With `plan --exit-code`: something would change."""
    BUG = 70
    INTERRUPTED = 130


class CommandFailed(Exception):
    """A command cannot do what it was asked for.

    Args:
        message: one line that says what to do.
        exit_code: of the program.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def failure_of(error: OperatorError) -> CommandFailed:
    """An error of the operator's code, in words for whoever sits at the keyboard."""
    if isinstance(error, KubernetesError):
        return _of_cluster(error)
    # A reconcile is repeated by itself, a command is not.
    message = error.message.replace(WILL_RETRY, "Try again.")
    known = isinstance(error, AzureError | AzureDevOpsError | CredentialsError)
    return CommandFailed(message, ExitCode.AZURE if known else ExitCode.NOT_OK)


def _of_cluster(error: KubernetesError) -> CommandFailed:
    if isinstance(error, KubernetesNotFound):
        return CommandFailed(
            "This cluster does not know AzureDevOpsConnectors: install the operator in it, or name another cluster "
            "with --context.",
            ExitCode.NO_CLUSTER,
        )
    if error.status == _UNAUTHORIZED:
        return CommandFailed(
            "The cluster does not take your credentials: sign in to it again, or name another one with --context.",
            ExitCode.NO_RIGHTS,
        )
    if error.status == _FORBIDDEN:
        return CommandFailed(
            f"You may not do that: {error.message.rstrip('.')}. Ask for the right, or name another namespace with -n.",
            ExitCode.NO_RIGHTS,
        )
    if isinstance(error, KubernetesUnavailable) and error.status is None:
        return CommandFailed(
            f"{error.message} Is it the right cluster? Name another one with --context or --kubeconfig.",
            ExitCode.NO_CLUSTER,
        )
    if isinstance(error, KubernetesRefused) and error.status is None:
        message = error.message.replace("Run in a pod, or set KUBECONFIG.", "Set KUBECONFIG, or name a --kubeconfig.")
        return CommandFailed(message, ExitCode.NO_CLUSTER)
    return CommandFailed(error.message, ExitCode.NOT_OK)
