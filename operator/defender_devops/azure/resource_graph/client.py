"""Azure Resource Graph: one query about many resources, with a paged response.

https://learn.microsoft.com/rest/api/azureresourcegraph/resourcegraph/resources/resources. Resource Graph indexes
Azure Resource Manager with a delay, so its rows are hints: before a write, Azure Resource Manager is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from defender_devops.azure.arm.client import ArmClient, ArmRequest, ArmResponse, RetryPolicy
from defender_devops.azure.arm.rate_limiter import OperationKind
from defender_devops.errors import WILL_RETRY, AzureUnavailable, InvalidRequest, OperatorError

__all__ = ["PAGE_SIZE_MAX", "BatchAnswer", "PageTooLarge", "ResourceGraph", "ResultTruncated", "subscription_batches"]

_API_VERSION: Final = "2022-10-01"
_PATH: Final = "/providers/Microsoft.ResourceGraph/resources"
_PAGES_MAX: Final = 200
_TOO_LARGE: Final = "ResponsePayloadTooLarge"

_SUBSCRIPTIONS_MAX: Final = 1000
"""Subscriptions in one query."""

PAGE_SIZE_MAX: Final = 1000
_PAGE_SIZE_MIN: Final = 25

Row = Mapping[str, Any]
T = TypeVar("T")


class PageTooLarge(InvalidRequest):
    """A page would be larger than Resource Graph permits: query fewer rows for each page."""


class ResultTruncated(AzureUnavailable):
    """The response ended before all of its rows: query fewer subscriptions."""


@dataclass(frozen=True, slots=True)
class BatchAnswer(Generic[T]):
    """The answer to a query for some subscriptions.

    Attributes:
        subscriptions: the subscriptions.
        rows: all of their parsed rows; none where the query failed.
        pages: number of pages.
        error: why there is no complete answer.
    """

    subscriptions: Sequence[str]
    rows: Sequence[T] = field(default_factory=tuple)
    pages: int = 0
    error: OperatorError | None = None


class ResourceGraph:
    """Resource Graph with one identity, which gets only the rows that it may read.

    Args:
        arm: the identity's client.
        operation: a verb phrase for messages and metrics.
    """

    def __init__(self, arm: ArmClient, operation: str = "query Resource Graph") -> None:
        self._arm = arm
        self._operation = operation
        self._page_size = PAGE_SIZE_MAX

    async def pages(
        self, query: str, subscriptions: Sequence[str] | None = None, *, page_size: int = PAGE_SIZE_MAX
    ) -> AsyncIterator[list[Row]]:
        """Yield the rows of a query, page by page.

        Args:
            query: KQL that projects `id` and orders by it, because there is no second page otherwise.
            subscriptions: subscriptions to query; all that the identity may read where None.
            page_size: rows of a page.

        Raises:
            PageTooLarge: a page of that size is too large.
            ResultTruncated: there are more rows than Resource Graph returns.
            AzureError: Resource Graph refused or failed.
            CredentialsError: there is no token.
        """
        skip_token: str | None = None
        row_count = 0
        for _ in range(_PAGES_MAX):
            response = await self._page(query, subscriptions, page_size, skip_token)
            data, skip_token = _rows(response)
            row_count += len(data)
            yield data
            if skip_token is None:
                # A string in some API versions, a boolean in others.
                if str(response.content.get("resultTruncated", "")).lower() == "true":
                    raise ResultTruncated("Resource Graph truncated its response and offers no further page.")
                total = response.content["totalRecords"]
                if row_count < total:
                    raise ResultTruncated(f"Resource Graph returned {row_count} of {total} rows. {WILL_RETRY}")
                return
        raise ResultTruncated(f"The response of Resource Graph has more than {_PAGES_MAX} pages of {page_size} rows.")

    async def rows(self, query: str, subscriptions: Sequence[str] | None = None) -> list[Row]:
        """Return all rows of a query that has few of them.

        Raises:
            AzureError: as `pages`.
            CredentialsError: there is no token.
        """
        return [row async for page in self.pages(query, subscriptions) for row in page]

    async def parsed_rows(
        self, query: str, subscriptions: Sequence[str], parse: Callable[[Row], T]
    ) -> tuple[list[T], int]:
        """Return the parsed rows of a query, and the number of pages that they took.

        Only one page of rows is held at a time. After a page that is too large, this object requests smaller ones.

        Raises:
            AzureError: as `pages`; PageTooLarge only where the smallest page is too large.
            CredentialsError: there is no token.
        """
        while True:
            values: list[T] = []
            count = 0
            try:
                async for page in self.pages(query, subscriptions, page_size=self._page_size):
                    count += 1
                    values += [parse(row) for row in page]
            except PageTooLarge:
                if self._page_size <= _PAGE_SIZE_MIN:
                    raise
                self._page_size = max(_PAGE_SIZE_MIN, self._page_size // 2)
            else:
                return values, count

    async def batch_answers(
        self, query: str, subscriptions: Sequence[str], parse: Callable[[Row], T]
    ) -> AsyncIterator[BatchAnswer[T]]:
        """Yield complete answers until every subscription has one, or the reason why there is none.

        A truncated answer is read again for fewer subscriptions. Any other failure ends the query: whatever it is, it
        would meet the remaining subscriptions as well.
        """
        batches = list(subscription_batches(subscriptions))
        while batches:
            batch = batches.pop(0)
            try:
                rows, pages = await self.parsed_rows(query, batch, parse)
            except ResultTruncated as error:
                if len(batch) == 1:
                    yield BatchAnswer(batch, error=error)
                else:
                    middle = len(batch) // 2
                    batches[:0] = [batch[:middle], batch[middle:]]
            except OperatorError as error:
                yield BatchAnswer([*batch, *(name for remaining in batches for name in remaining)], error=error)
                return
            else:
                yield BatchAnswer(batch, rows, pages)

    async def _page(
        self, query: str, subscriptions: Sequence[str] | None, page_size: int, skip_token: str | None
    ) -> ArmResponse:
        body: dict[str, Any] = {"query": query, "options": {"resultFormat": "objectArray", "$top": page_size}}
        if subscriptions is not None:
            body["subscriptions"] = list(subscriptions)
        if skip_token is not None:
            body["options"]["$skipToken"] = skip_token
        request = ArmRequest(
            self._operation,
            "POST",
            path=_PATH,
            api_version=_API_VERSION,
            kind=OperationKind.RESOURCE_GRAPH,
            body=body,
            retry=RetryPolicy.ALWAYS,
        )
        try:
            return await self._arm.send(request)
        except InvalidRequest as error:
            if error.code == _TOO_LARGE:
                raise PageTooLarge(error.message, code=error.code, status=error.status) from error
            raise


def _rows(response: ArmResponse) -> tuple[list[Row], str | None]:
    """Return the rows of a page and the token of the next one.

    Raises:
        AzureUnavailable: it is not a page. The number of all rows is in every response, so that an object of another
            kind with an empty list does not mean that there is nothing.
    """
    data, token = response.content.get("data"), response.content.get("$skipToken")
    if isinstance(data, list) and isinstance(token, str | None):
        has_ids = all(isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"] for row in data)
        total = response.content.get("totalRecords")
        if has_ids and isinstance(total, int) and not isinstance(total, bool):
            return data, token or None
    raise AzureUnavailable(
        f"The response of Resource Graph is not a list of rows (HTTP {response.status}). {WILL_RETRY}"
    )


def subscription_batches(subscriptions: Sequence[str]) -> Iterator[list[str]]:
    """Yield subscriptions in groups of as many as one query may name."""
    for start in range(0, len(subscriptions), _SUBSCRIPTIONS_MAX):
        yield list(subscriptions[start : start + _SUBSCRIPTIONS_MAX])
