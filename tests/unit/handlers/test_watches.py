"""Watches are not started with a kubeconfig that kopf would use only in part."""

from __future__ import annotations

import pytest

from defender_devops.cluster.kubeconfig.credentials import Credentials
from defender_devops.errors import KubernetesRefused
from defender_devops.handlers.watches import watch_resources

CREDENTIALS = [
    (Credentials("https://example.test", impersonation=(("Impersonate-User", "jane"),)), "The kubeconfig has as,"),
    (Credentials("https://example.test", server_name="other.test"), "The kubeconfig has tls-server-name,"),
]


class Loader:
    """In place of CredentialsLoader."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def credentials(self, **_: object) -> Credentials:
        return self._credentials


@pytest.mark.parametrize(("credentials", "message"), CREDENTIALS)
async def test_a_field_that_kopf_ignores_is_rejected_by_name(credentials: Credentials, message: str) -> None:
    with pytest.raises(KubernetesRefused, match=message):
        await watch_resources(None, Loader(credentials), (), lambda: None)  # type: ignore[arg-type]
