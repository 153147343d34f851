"""People are told what becomes of their orders: from REST to the mailbox, through everything in between."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

LIFE = ("pay", "ship", "deliver", "return")


class Post:
    """The mailbox of the stack."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """`session` has its page as the base address."""
        self._session = session

    async def to(self, recipient: str, kind: str = "messages") -> list[dict[str, Any]]:
        """Mails (or `sms`) to somebody, oldest first."""
        async with self._session.get(f"/{kind}") as answer:
            return [one for one in reversed(await answer.json()) if recipient in one["to"]]


@pytest.fixture
async def post(stack: Any) -> AsyncIterator[Post]:
    """What came."""
    async with aiohttp.ClientSession(stack.engine("mailbox")["url"]) as session:
        yield Post(session)


@pytest.fixture
async def staff(stack: Any) -> Any:
    """One of the staff."""
    return await stack.client("staff@example.org", "staff")


async def bought(client: Any, **more: Any) -> dict[str, Any]:
    """An order of two mugs."""
    answer = await client("POST", "orders", {"lines": [{"sku": "MUG-BLUE", "quantity": 2}], **more}, Idempotency_Key=uuid4().hex)
    assert answer.status == 201, answer.body
    return dict(answer.body)


def subjects(mails: list[dict[str, Any]], number: str) -> list[str]:
    """What the mails of an order say in short."""
    return [mail["subject"].replace(number, "N") for mail in mails if number in mail["subject"]]


async def test_the_life_of_an_order_in_mails(stack: Any, post: Post, staff: Any) -> None:
    """Each step once and in order, with tracking; by text message for who wants it; and all of it in the log."""
    ann = await stack.client("mails@example.org")
    await ann("PATCH", "users/me", {"phone": "+447700900123"})
    wishes = {"email": {"orders": True, "news": False}, "sms": {"orders": True, "news": False}}
    await ann("PUT", "users/me/preferences", wishes | {"time_zone": "Europe/London", "locale": "en-GB"})
    order = await bought(ann)
    for step in LIFE:
        body = {"carrier": "DHL", "tracking": "JD0002"} if step == "ship" else {}
        assert (await staff("POST", f"orders/{order['id']}/{step}", body)).status == 200
    said = [f"{start} N{end}" for start, end in (("We have your order", ""), ("Your order", " is paid"), ("Your order", " is on its way"))]
    said += ["Your order N has arrived", "We have your return of order N"]

    async def arrived() -> bool:
        return len(subjects(await post.to("mails@example.org"), order["number"])) >= 5 and len(await post.to("+447700900123", "sms")) >= 5

    await stack.until(arrived)
    mails = await post.to("mails@example.org")
    mine = (await ann("GET", "users/me/notifications?limit=100")).body["items"]
    everybodys = (await staff("GET", f"notifications?order_id={order['id']}&status=sent&channel=sms")).body["items"]

    assert subjects(mails, order["number"]) == said
    assert "JD0002" in next(mail["text"] for mail in mails if "on its way" in mail["subject"])
    assert [text["body"].count(order["number"]) for text in await post.to("+447700900123", "sms")] == [1] * 5
    assert [(item["channel"], item["status"]) for item in mine if item["order_id"] == order["id"]].count(("email", "sent")) == 5
    assert [item["event_type"].split(".")[2] for item in reversed(everybodys)] == ["placed", "paid", "shipped", "delivered", "returned"]
    assert {len(item["attempts"]) for item in everybodys} == {1}


async def test_who_wants_none_gets_none(stack: Any, post: Post) -> None:
    """By the preferences, and by the link in a mail; the log says so."""
    bob = await stack.client("unsubscribing@example.org")
    first = await bought(bob)
    await stack.until(_came(post, "unsubscribing@example.org", first["number"]))
    mail = (await post.to("unsubscribing@example.org"))[-1]
    link = re.search(r"http://\S+/unsubscribe/\S+", mail["text"])
    assert link
    assert mail["headers"]["List-Unsubscribe"] == f"<{link[0]}>"
    async with stack.session.post(link[0].replace(stack.url, "")) as answer:
        assert answer.status == 200
    second = await bought(bob)

    async def suppressed() -> bool:
        items = (await bob("GET", "users/me/notifications")).body["items"]
        return [item["status"] for item in items if item["order_id"] == second["id"]] == ["suppressed"]

    await stack.until(suppressed)
    assert subjects(await post.to("unsubscribing@example.org"), second["number"]) == []


async def test_a_new_password_by_mail(stack: Any, post: Post) -> None:
    """The code that came by mail sets it, once; nowhere in the log of notifications is it to be found."""
    nobody = await stack.client()
    email = "forgetful@example.org"
    await nobody("POST", "auth/register", {"email": email, "password": "correct horse", "name": "Fay"})
    assert (await nobody("POST", "auth/password-reset", {"email": email})).status == 202
    await stack.until(_came(post, email, "Your new password"))
    mail = (await post.to(email))[-1]
    code = re.search(r"^[\w-]{43}\r?$", mail["text"], re.MULTILINE)

    assert mail["to"] == f"Fay <{email}>"
    assert code
    confirmation = {"token": code[0].strip(), "password": "battery staple"}
    assert [(await nobody("POST", "auth/password-reset/confirm", confirmation)).status for _ in range(2)] == [204, 401]
    assert (await nobody("POST", "auth/login", {"email": email, "password": "battery staple"})).status == 200
    kept = "select count(*) as n from notifications.notification where payload::text like '%' || $1 || '%'"
    assert (await stack.rows(kept, code[0].strip()))[0]["n"] == 0


async def test_low_stock_is_told_to_the_staff(stack: Any, post: Post, staff: Any) -> None:
    """When a sale takes a product below its threshold."""
    sku = f"RARE-{uuid4().hex[:8]}"
    await staff("POST", "products", {"sku": sku, "name": "Rare thing", "price": 5, "currency": "GBP", "on_hand": 3, "low_threshold": 2})
    ann = await stack.client("mails@example.org")
    await ann("POST", "orders", {"lines": [{"sku": sku, "quantity": 1}]}, Idempotency_Key=uuid4().hex)

    await stack.until(_came(post, "staff@example.org", sku))
    assert (await post.to("staff@example.org"))[-1]["subject"] == f"Low stock: Rare thing ({sku}), 2 left"


async def test_redelivering(stack: Any, post: Post, staff: Any) -> None:
    """The same mail once more, on command; nobody but staff may."""
    ann = await stack.client("again@example.org")
    order = await bought(ann)
    await stack.until(_came(post, "again@example.org", order["number"]))

    async def logged() -> Any:
        items = (await staff("GET", f"notifications?order_id={order['id']}&status=sent")).body["items"]
        return items[0]["id"] if items else None

    found = await stack.until(logged)
    assert (await ann("POST", f"notifications/{found}/redeliver")).status == 403
    assert (await staff("POST", f"notifications/{found}/redeliver")).status == 202

    async def twice() -> bool:
        return len(subjects(await post.to("again@example.org"), order["number"])) == 2

    await stack.until(twice)
    assert (await staff("POST", f"notifications/{uuid4()}/redeliver")).status == 404


def _came(post: Post, recipient: str, word: str) -> Callable[[], Any]:
    async def look() -> bool:
        return any(word in mail["subject"] for mail in await post.to(recipient))

    return look
