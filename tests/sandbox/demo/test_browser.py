"""The demo's browser on a site of two pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from sandbox.demo.browser import Browser, PageError

FORM = """<html><head><style>p {color: red}</style></head><body><h1>Sign  in</h1>
<form method="post" action="/answer"><input type="hidden" name="ctx" value="42"><input name="account" value="nobody">
<button name="action" value="cancel" formnovalidate>Cancel</button><button name="action" value="signin">Sign in</button>
</form></body></html>"""


class Site(BaseHTTPRequestHandler):
    """GET leads to the form by a redirect that sets a cookie; POST returns the submitted form."""

    def do_GET(self) -> None:
        if self.path == "/":
            self.send_response(302)
            self.send_header("Location", "/form")
            self.send_header("Set-Cookie", "window=1; Path=/")
            self.end_headers()
            return
        self._answer(FORM)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(f"<p>{body.replace('&', ' ')} from {self.headers['Origin']} with {self.headers['Cookie']}</p>")

    def _answer(self, html: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(html)))
        self.end_headers()
        self.wfile.write(html.encode())

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    with Browser(ca) as window:
        yield window


def test_a_page_is_read_without_its_style(browser: Browser, site: str) -> None:
    browser.open(site)
    assert browser.text == "Sign in Cancel Sign in"


def test_a_button_sends_its_value_with_entered_and_existing_fields(browser: Browser, site: str) -> None:
    browser.open(site)
    browser.press("Sign in", account="alex")
    assert browser.text == f"ctx=42 account=alex action=signin from {site} with window=1"


def test_a_missing_button_is_reported_with_the_text_of_the_page(browser: Browser, site: str) -> None:
    browser.open(site)
    with pytest.raises(PageError, match="there is no button 'Accept' on the page: Sign in Cancel Sign in"):
        browser.press("Accept")
