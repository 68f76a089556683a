"""A browser for tests and the demo: opens pages, fills in forms, presses buttons; without scripts."""

from __future__ import annotations

import ssl
from html.parser import HTMLParser
from pathlib import Path
from typing import Self

import httpx

__all__ = ["Browser", "PageError"]


class PageError(Exception):
    """An unexpected page; the message has its text."""


class Browser:
    """A browser window with its cookies.

    Args:
        ca: certificate authority to trust.
    """

    def __init__(self, ca: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        self._http = httpx.Client(verify=context, follow_redirects=True, trust_env=False, timeout=30)
        self._page: _Page | None = None
        self._address = httpx.URL()

    def open(self, address: str) -> None:
        """Open an address and follow redirects."""
        self._show(self._http.get(address))

    def press(self, button: str, **fields: str) -> None:
        """Fill in the form that has a button with this text, and submit it.

        Raises:
            PageError: there is no such button on the page.
        """
        form = next((form for form in self._page.forms if button in form.buttons), None) if self._page else None
        if form is None:
            raise PageError(f"there is no button {button!r} on the page: {self.text}")
        # A browser sends only the button that was pressed.
        values = form.values | fields | form.buttons[button]
        # A browser sends Origin, and the pages check it.
        origin = f"{self._address.scheme}://{self._address.netloc.decode()}"
        target = self._address.join(form.action)
        self._show(self._http.request(form.method, target, data=values, headers={"Origin": origin}))

    @property
    def text(self) -> str:
        """Text of the page."""
        return self._page.text if self._page else ""

    def close(self) -> None:
        """Close the window."""
        self._http.close()

    def _show(self, response: httpx.Response) -> None:
        self._address = response.url
        self._page = _Page(response.text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Form:
    def __init__(self, attributes: dict[str, str]) -> None:
        self.method = attributes.get("method", "get").upper()
        self.action = attributes.get("action", "")
        self.values: dict[str, str] = {}
        self.buttons: dict[str, dict[str, str]] = {}


class _Page(HTMLParser):
    """Forms and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[_Form] = []
        self._words: list[str] = []
        self._button: dict[str, str] | None = None
        self._style = False
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(self._words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(_Form(attributes))
        elif tag == "input" and self.forms and "name" in attributes:
            self.forms[-1].values[attributes["name"]] = attributes.get("value", "")
        elif tag == "button":
            self._button = {attributes["name"]: attributes.get("value", "")} if "name" in attributes else {}
        elif tag == "style":
            self._style = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "button":
            self._button = None
        elif tag == "style":
            self._style = False

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if not text or self._style:
            return
        if self._button is not None and self.forms:
            self.forms[-1].buttons[text] = self._button
        self._words.append(text)
