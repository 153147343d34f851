"""The dashboard in a real browser on the running stack: what a shop manager sees, how soon, and that markup stays text."""

import functools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PASSWORD = "correct horse battery"
MARKUP = "<img src=x onerror=alert(1)><b>Mug</b>"
HIDE = """({ hidden }) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
SIZES = {"wide": (1280, 900), "phone": (390, 844)}
WAIT_MILLISECONDS = 20_000
WITHIN_SECONDS = 5
SCREENSHOTS = Path(__file__).parents[2] / "var" / "screenshots"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, f"none of {BROWSERS} is installed"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        await started.close()


@pytest.fixture(scope="module")
async def manager(stack: Any) -> dict[str, str]:
    """E-mail and password of one of the staff, who has just sold something with markup for a name."""
    account = {"email": "dashboard-manager@example.org", "password": PASSWORD}
    nobody, admin = await stack.client(), await stack.client("dashboard-admin@example.org", "admin")
    assert (await nobody("POST", "auth/register", account | {"name": "Manager"})).status == 201
    [found] = (await admin("GET", f"users?q={account['email']}")).body["items"]
    assert (await admin("PUT", f"users/{found['id']}/roles", {"roles": ["staff"]})).status == 200
    product = {"sku": "DASHBOARD", "name": MARKUP, "price": 1250, "currency": "GBP", "on_hand": 1_000_000}
    assert (await admin("POST", "products", product)).status == 201
    await sell(admin)
    await stack.until(functools.partial(counted, admin), 60)
    return account


async def counted(client: Any) -> bool:
    """Whether live figures and history have begun to count."""
    live, past = await client("GET", "analytics/live"), await client("GET", "analytics/overview")
    return live.status == past.status == 200 and live.body["totals"]["today"]["orders"] > 0 and past.body["orders"] > 0


async def sell(client: Any) -> None:
    """One order."""
    order = {"lines": [{"sku": "DASHBOARD", "quantity": 2}]}
    assert (await client("POST", "orders", order, Idempotency_Key=uuid4().hex)).status == 201


class Visit:
    """A page, and all that it complained of."""

    def __init__(self, page: Page) -> None:
        """Listen to the page."""
        self.page, self.complaints = page, list[str]()
        page.on("console", self.hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def hear(self, message: ConsoleMessage) -> None:
        """Keep what is not in order."""
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} {message.location.get('url')}")

    async def sign_in(self, url: str, account: dict[str, str]) -> None:
        """By keyboard alone."""
        await self.page.goto(f"{url}/dashboard")
        await expect(self.page.locator("input[name=email]")).to_be_focused(timeout=WAIT_MILLISECONDS)
        await self.page.keyboard.type(account["email"])
        await self.page.keyboard.press("Tab")
        await self.page.keyboard.type(account["password"])
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator("#state")).to_have_attribute("data-state", "live", timeout=WAIT_MILLISECONDS)

    async def figure(self, name: str) -> float:
        """The number in a tile."""
        text = await self.page.locator(f"[data-metric={name}]").inner_text()
        return float(text.replace(",", ""))

    async def shows(self, orders: float, revenue: float) -> bool:
        """Whether the tiles of today tell of so much or more: what other tests sold may still be on its way."""
        return await self.figure("orders_today") >= orders and await self.figure("revenue_today") >= revenue


@pytest.fixture
async def visit(browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Visit]:
    """A visit in a context of its own; parameters are a size and a colour scheme."""
    size, scheme = getattr(request, "param", ("wide", "light"))
    width, height = SIZES[size]
    context = await browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB")
    yield Visit(await context.new_page())
    await context.close()


@pytest.mark.parametrize("visit", [(size, scheme) for size in SIZES for scheme in ("light", "dark")], indirect=True, ids="-".join)
async def test_every_size_and_scheme(stack: Any, manager: Any, visit: Visit, request: pytest.FixtureRequest) -> None:
    """All figures are there, none wider than the page, nothing is complained of; a picture of it is kept."""
    page = visit.page
    await visit.sign_in(stack.url, manager)
    assert await visit.figure("orders_today") >= 1
    await expect(page.locator("#orders tbody tr").first).to_be_visible(timeout=WAIT_MILLISECONDS)
    for panel in ("live", "findings", "overview", "history", "products", "countries", "funnel", "orders"):
        await expect(page.locator(f"#{panel} .waiting")).to_have_count(0, timeout=WAIT_MILLISECONDS)
    name = request.node.callspec.id
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    assert await page.evaluate("document.documentElement.scrollWidth") <= SIZES[name.partition("-")[0]][0]
    assert visit.complaints == []


async def test_an_order_shows_within_seconds(stack: Any, manager: Any, visit: Visit) -> None:
    """What is sold over REST counts in the tiles at once, one by one, and its revenue too."""
    customer = await stack.client("dashboard-customer@example.org")
    await visit.sign_in(stack.url, manager)
    for _ in range(5):
        orders, revenue = await visit.figure("orders_today"), await visit.figure("revenue_today")
        await sell(customer)
        await stack.until(functools.partial(visit.shows, orders + 1, revenue + 25), WITHIN_SECONDS)

    assert visit.complaints == []


async def test_markup_stays_text(stack: Any, manager: Any, visit: Visit) -> None:
    """A product's name is shown as it is, and makes no element."""
    await visit.sign_in(stack.url, manager)

    await expect(visit.page.locator("#orders tbody tr").first).to_contain_text(MARKUP, timeout=WAIT_MILLISECONDS)
    assert await visit.page.locator("#figures img, #figures b").count() == 0
    assert visit.complaints == []


async def test_the_session_outlives_the_page(stack: Any, manager: Any, visit: Visit) -> None:
    """Loaded again, the page is still signed in; signed out, it is not, and no script ever saw a cookie."""
    page = visit.page
    await visit.sign_in(stack.url, manager)
    await page.reload()
    await expect(page.locator("#state")).to_have_attribute("data-state", "live", timeout=WAIT_MILLISECONDS)
    assert await page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"

    await page.locator("#sign-out").click()
    await expect(page.locator("input[name=email]")).to_be_visible(timeout=WAIT_MILLISECONDS)
    await page.reload()
    await expect(page.locator("input[name=email]")).to_be_visible(timeout=WAIT_MILLISECONDS)


async def test_who_may_not_come_in(stack: Any, manager: Any, visit: Visit) -> None:
    """A wrong password and a customer's account are told apart, in words."""
    page = visit.page
    customer = {"email": "dashboard-customer-2@example.org", "password": PASSWORD, "name": "Customer"}
    await (await stack.client())("POST", "auth/register", customer)
    await page.goto(f"{stack.url}/dashboard")
    for account, word in ((manager | {"password": "wrong horse"}, "No account"), (customer, "for staff")):
        await page.fill("input[name=email]", account["email"])
        await page.fill("input[name=password]", account["password"])
        await page.click("button[type=submit]")
        await expect(page.locator("#refusal")).to_contain_text(word, timeout=WAIT_MILLISECONDS)


async def test_the_page_comes_back_by_itself(stack: Any, manager: Any, visit: Visit) -> None:
    """Cut off from the network, the page says so, and is live again soon after there is one."""
    page = visit.page
    await visit.sign_in(stack.url, manager)
    await page.clock.install()
    await page.context.set_offline(True)
    await page.clock.fast_forward(60_000)
    await expect(page.locator("#state")).to_have_attribute("data-state", "away", timeout=WAIT_MILLISECONDS)
    await page.context.set_offline(False)
    await page.clock.fast_forward(30_000)
    await expect(page.locator("#state")).to_have_attribute("data-state", "live", timeout=WAIT_MILLISECONDS)


async def test_charts_by_keyboard(stack: Any, manager: Any, visit: Visit) -> None:
    """Arrow keys go through the values of a chart and read them out; the same stands in a table."""
    page = visit.page
    await visit.sign_in(stack.url, manager)
    chart = page.locator("#live svg")
    await chart.focus()
    await page.keyboard.press("End")
    await expect(page.locator("#live .tip")).to_be_visible()
    await expect(page.locator("#live [aria-live]")).to_contain_text("Orders")
    await page.keyboard.press("Escape")
    await expect(page.locator("#live .tip")).to_be_hidden()
    await page.locator("#live summary").press("Enter")
    await expect(page.locator("#live tbody tr")).to_have_count(60)


async def test_a_page_that_nobody_sees_holds_no_connection(stack: Any, manager: Any, visit: Visit) -> None:
    """Hidden, the page hangs up; looked at again, it is live again."""
    page = visit.page
    await visit.sign_in(stack.url, manager)
    await page.evaluate(HIDE, {"hidden": True})
    await stack.until(lambda: told(stack, "soms_http_streams 0.0"), 40)
    await page.evaluate(HIDE, {"hidden": False})
    await expect(page.locator("#state")).to_have_attribute("data-state", "live", timeout=WAIT_MILLISECONDS)
    assert await told(stack, "soms_http_streams 1.0")


async def told(stack: Any, line: str) -> bool:
    """Whether the gateway's figures have a line."""
    return line in (await (await stack.client())("GET", "/metrics")).body
