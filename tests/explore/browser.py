"""A real browser, where one is installed."""

import shutil
import time
from contextlib import contextmanager

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium(profile):
    """A browser with a user folder of its own, ended with the block."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not (CHROMIUM and DRIVER):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1400,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Page(browser)
    finally:
        browser.quit()


class Page:
    """What a reader does on the page, and sees."""

    def __init__(self, browser):
        self.browser = browser

    def open(self, address):
        self.browser.get("about:blank")  # else a change of the hash alone loads nothing
        self.browser.get_log("browser")
        self.browser.get(address)
        self.wait(lambda: not self.message.startswith("Loading"))

    def choose(self, *names):
        """Chooses networks by the address, without loading the page again."""
        self.run("location.hash = arguments[0]", ",".join(names))
        self.wait(lambda: set(self.chosen) == set(names))
        self.settled()

    def wait(self, condition, seconds=30):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"waited in vain; the page says: {self.message}"
            time.sleep(0.05)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def count(self, selector):
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def shown(self, selector):
        return self.run(
            "return document.querySelector(arguments[0]).getClientRects().length > 0", selector
        )

    @property
    def message(self):
        return self.text("#message")

    @property
    def wrong(self):
        return bool(self.count("#message.wrong"))

    @property
    def chosen(self):
        return self.run(
            "return [...document.querySelectorAll('#list input:checked')].map((box) => box.value)"
        )

    @property
    def hash(self):
        return self.run("return location.hash")

    def tick(self, name):
        self.run(
            "document.querySelector('#list input[value=\"' + arguments[0] + '\"]').click()", name
        )

    def settled(self):
        """Waits until nothing is measured any more."""
        self.wait(
            lambda: (
                self.run("return document.getElementById('result').getAttribute('aria-busy')")
                == "false"
            )
        )

    def window(self, width, height=1000, scheme="light"):
        """A screen of this size, whatever a window may be at least, in a scheme of colours."""
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )

    def complaints(self):
        """What the browser's console holds."""
        return [entry["message"] for entry in self.browser.get_log("browser")]
