"""The site of all versions in a browser: which version is shown, how another one is reached, and the search."""

from __future__ import annotations

import functools
import http.server
import subprocess
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from deploy.site.building import build_site
from tests.support.chart.helm import ROOT
from tests.support.scenarios.sign_in_scenario import Window


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line on standard error for each request."""

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site of a clone in which two versions are tagged."""
    folder = tmp_path_factory.mktemp("site")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
    for tag in ("v0.1.0", "v0.2.0"):
        subprocess.run(["git", "-c", "tag.gpgsign=false", "tag", tag], cwd=clone, check=True)
    build_site(clone, folder / "site")
    handler = functools.partial(Handler, directory=str(folder / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(window: Window) -> Page:
    """A window with scripts, which the search and the selector of versions need."""
    return window(java_script_enabled=True)


def test_the_start_page_is_that_of_the_latest_version_and_leads_to_the_others(site: str, page: Page) -> None:
    hosts = set[str]()
    page.on("request", lambda request: hosts.add(request.url[: len(site)]))
    page.goto(site)
    page.wait_for_url("**/latest/")
    expect(page.locator(".md-version__current")).to_have_text("0.2.0")
    page.goto(f"{site}0.1/audit/")
    outdated = page.locator("[data-md-component=outdated]")
    expect(outdated).to_contain_text("These are the pages of another version")
    outdated.get_by_role("link").click()
    page.wait_for_url("**/latest/")
    expect(outdated).to_be_hidden()
    assert hosts == {site}, "no page loads anything from another server"


def test_the_search_finds_pages_of_the_version(site: str, page: Page) -> None:
    page.goto(f"{site}0.1/")
    page.locator("input.md-search__input").press_sequentially("revocation")
    result = page.locator(".md-search-result__link").first
    expect(result).to_contain_text("For the security officer")
    assert "/0.1/audit/" in str(result.get_attribute("href"))
