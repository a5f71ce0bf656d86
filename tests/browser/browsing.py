"""A real browser for the status page: Debian's Chromium, driven by playwright, with axe-core from npm.

Nothing is downloaded: tests are skipped, with the reason, where one of the three is missing. They come from
`apt-get install chromium`, the development extra, and `.ci/foreign`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.foreign import FOLDER

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
_CHECK = """
async () => {
  const found = await axe.run(document, {preload: false, resultTypes: ["violations"]});
  return found.violations.map(each =>
    `${each.id}: ${each.help}: ` + each.nodes.slice(0, 3).map(node => node.html.slice(0, 200)).join(" | "));
}
"""
_WATCH = """
window.blocked = [];
document.addEventListener("securitypolicyviolation", event =>
  window.blocked.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


def browser_path() -> str:
    """The path of an installed Chromium; skips the test if there is none."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    return path


def axe() -> str:
    """The text of axe-core; skips the test if it is not installed."""
    path = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists():
        pytest.skip("axe-core is not installed: run .ci/foreign")
    return path.read_text(encoding="utf-8")


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser; skips the test if it cannot be started."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    path = browser_path()
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"Chromium cannot be started here: {str(error).splitlines()[0]}")
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """One tab at a status page. `problems`: errors on its console, dialogs, and what its policy blocked."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list)

    def open(self, path: str) -> int:
        """Load a page; its status."""
        answer = self.page.goto(self.base + path, wait_until="load")
        assert answer is not None
        return answer.status

    def text(self, selector: str = "main") -> str:
        return self.page.locator(selector).inner_text()

    def faults(self, axe: str) -> list[str]:
        """What is wrong with this page: accessibility, its policy, errors, and overflow of the window."""
        found = [*self.problems, *self.page.evaluate("window.blocked")]
        self.page.evaluate(axe)
        found += self.page.evaluate(_CHECK)
        if self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.append("the page is wider than the window")
        return found


@contextmanager
def tab(browser: Browser, port: int, **options: Any) -> Iterator[Tab]:
    """A new tab, without cookies of others; options as those of `new_context`."""
    context = browser.new_context(**{"viewport": DESK, "locale": "en-GB", **options})
    context.add_init_script(_WATCH)
    made = Tab(context.new_page(), f"http://127.0.0.1:{port}")
    made.page.set_default_timeout(15_000)
    made.page.on("pageerror", lambda error: made.problems.append(f"error: {error}"))
    made.page.on(
        "console",
        lambda message: (
            made.problems.append(f"console: {message.text}")
            # The status of a page that is not there is expected, and an error to Chromium.
            if message.type in ("error", "warning") and "status of 404" not in message.text
            else None
        ),
    )

    def dialog(opened: Any) -> None:
        made.problems.append(f"a dialog: {opened.message}")
        opened.dismiss()

    made.page.on("dialog", dialog)
    try:
        yield made
    finally:
        context.close()
