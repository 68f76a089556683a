from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from defender_devops.cluster.service_accounts import ServiceAccounts
from defender_devops.errors import KubernetesNotFound

pytestmark = pytest.mark.looptime

AUDIENCE = "api://AzureADTokenExchange"
BEGAN = datetime(2026, 11, 24, tzinfo=UTC)


class Client:
    """Gives tokens that live as long as the test says, after a second."""

    def __init__(self, life: timedelta = timedelta(hours=1)) -> None:
        self.life = life
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.error: Exception | None = None

    async def create(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append((url, body))
        await asyncio.sleep(1)
        if self.error:
            raise self.error
        return {
            "metadata": {"creationTimestamp": BEGAN.isoformat()},
            "status": {
                "token": f"token-{len(self.requests)}",
                "expirationTimestamp": (BEGAN + self.life).isoformat().replace("+00:00", "Z"),
            },
        }


async def _token(accounts: ServiceAccounts, name: str = "azure", audience: str = AUDIENCE) -> str:
    return (await accounts.token("security", name, audience)).get_secret_value()


async def test_a_token_is_requested_by_account_and_audience() -> None:
    client = Client()
    assert await _token(ServiceAccounts(client)) == "token-1"
    url, body = client.requests[0]
    assert url == "/api/v1/namespaces/security/serviceaccounts/azure/token"
    assert body["spec"] == {"audiences": [AUDIENCE], "expirationSeconds": 3600}


@pytest.mark.parametrize(
    ("life", "seconds", "token"),
    [
        (timedelta(hours=1), 2870, "token-1"),
        (timedelta(hours=1), 2890, "token-2"),
        (timedelta(minutes=10), 470, "token-1"),
        (timedelta(minutes=10), 490, "token-2"),
    ],
)
async def test_a_token_is_cached_for_four_fifths_of_its_lifetime(life: timedelta, seconds: float, token: str) -> None:
    accounts = ServiceAccounts(Client(life))
    await _token(accounts)
    await asyncio.sleep(seconds)
    assert await _token(accounts) == token


async def test_concurrent_callers_share_one_request() -> None:
    accounts = ServiceAccounts(client := Client())
    assert set(await asyncio.gather(*[_token(accounts) for _ in range(20)])) == {"token-1"}
    assert len(client.requests) == 1


async def test_other_accounts_and_audiences_have_their_own_tokens() -> None:
    accounts = ServiceAccounts(Client())
    tokens = [await _token(accounts), await _token(accounts, name="b"), await _token(accounts, audience="c")]
    assert tokens == ["token-1", "token-2", "token-3"]


async def test_a_failure_is_not_cached() -> None:
    accounts = ServiceAccounts(client := Client())
    client.error = KubernetesNotFound('serviceaccounts "azure" not found')
    with pytest.raises(KubernetesNotFound):
        await _token(accounts)
    client.error = None
    assert await _token(accounts) == "token-2"


async def test_the_repr_of_a_token_hides_its_value() -> None:
    assert "token-1" not in repr(await ServiceAccounts(Client()).token("security", "azure", AUDIENCE))
