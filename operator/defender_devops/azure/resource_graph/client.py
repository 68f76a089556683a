"""Azure Resource Graph: one question about many resources, answered in pages.

https://learn.microsoft.com/rest/api/azureresourcegraph/resourcegraph/resources/resources. It follows Resource Manager
with a delay, so it gives hints; the truth for a write is Resource Manager's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from defender_devops.azure.arm.client import ArmClient, Call, Repeat, Reply
from defender_devops.azure.arm.rate_limiter import OperationKind
from defender_devops.errors import AzureUnavailable, InvalidRequest

__all__ = ["PAGE_SIZE_MAX", "SUBSCRIPTIONS_MAX", "PageTooLarge", "ResourceGraph"]

_API_VERSION: Final = "2022-10-01"
_PATH: Final = "/providers/Microsoft.ResourceGraph/resources"
_PAGES_MAX: Final = 200
_TOO_LARGE: Final = "ResponsePayloadTooLarge"

PAGE_SIZE_MAX: Final = 1000
SUBSCRIPTIONS_MAX: Final = 1000
"""Subscriptions in one query."""

Row = Mapping[str, Any]


class PageTooLarge(InvalidRequest):
    """A page of the answer would be larger than Resource Graph allows: ask for fewer rows in one."""


class ResourceGraph:
    """Resource Graph, as one identity: it sees what that identity may read, and says nothing of the rest."""

    def __init__(self, arm: ArmClient) -> None:
        self._arm = arm

    async def pages(
        self, query: str, subscriptions: Sequence[str] | None = None, *, page_size: int = PAGE_SIZE_MAX
    ) -> AsyncIterator[list[Row]]:
        """The rows of a query, page by page.

        Args:
            query: KQL that projects `id` and orders by it, or there is no second page.
            subscriptions: where to look; all that the identity can see where None.
            page_size: rows in a page.

        Raises:
            PageTooLarge: a page of that size is too large.
            AzureError: Resource Graph refused, failed, cut the answer short or does not come to an end.
            CredentialsError: there is no token.
        """
        token: str | None = None
        for _ in range(_PAGES_MAX):
            reply = await self._page(query, subscriptions, page_size, token)
            data = reply.content.get("data")
            yield [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []
            token = str(reply.content.get("$skipToken") or "") or None
            if token is None:
                _raise_if_cut(reply)
                return
        raise AzureUnavailable(f"Resource Graph's answer has more than {_PAGES_MAX} pages of {page_size} rows.")

    async def rows(self, query: str, subscriptions: Sequence[str] | None = None) -> list[Row]:
        """All rows of a query that has few of them.

        Raises:
            AzureError: as `pages`.
            CredentialsError: there is no token.
        """
        return [row async for page in self.pages(query, subscriptions) for row in page]

    async def _page(self, query: str, subscriptions: Sequence[str] | None, page_size: int, token: str | None) -> Reply:
        body: dict[str, Any] = {"query": query, "options": {"resultFormat": "objectArray", "$top": page_size}}
        if subscriptions is not None:
            body["subscriptions"] = list(subscriptions)
        if token is not None:
            body["options"]["$skipToken"] = token
        call = Call(
            "query Resource Graph",
            "POST",
            path=_PATH,
            api_version=_API_VERSION,
            kind=OperationKind.RESOURCE_GRAPH,
            body=body,
            repeat=Repeat.ALWAYS,
        )
        try:
            return await self._arm.send(call)
        except InvalidRequest as error:
            if error.code == _TOO_LARGE:
                raise PageTooLarge(error.message, code=error.code, status=error.status) from error
            raise


def _raise_if_cut(reply: Reply) -> None:
    # A word in some API versions, a boolean in others.
    if str(reply.content.get("resultTruncated", "")).lower() == "true":
        raise AzureUnavailable("Resource Graph cut its answer short and offers no further page.")
