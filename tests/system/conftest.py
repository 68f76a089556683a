"""A real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.scenarios.sign_in_scenario import Window


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's chromium, without background requests to the internet.

    Of one module: playwright keeps an event loop running in this thread, beside which no other test's can run.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser is installed (Debian: apt-get install chromium)")
    quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def window(chromium: Browser) -> Iterator[Window]:
    """Open a window with cookies of its own; by default without JavaScript, as no page needs it."""
    contexts: list[BrowserContext] = []

    def open_window(**options: object) -> Page:
        chosen = {"ignore_https_errors": True, "java_script_enabled": False, "viewport": {"width": 1000, "height": 640}}
        context = chromium.new_context(**(chosen | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        return page

    yield open_window
    for context in contexts:
        context.close()
