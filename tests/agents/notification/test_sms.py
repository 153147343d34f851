"""Text messages over HTTP: the shape of the call, and what its answers mean."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from soms.agents.rendering import Writer
from soms.agents.sms import Sms, text_messages
from soms.config import Settings
from soms.errors import FailedPrecondition, InvalidArgument, SomsError
from soms.models.notification import Channel


@contextlib.asynccontextmanager
async def channel(stack: Settings, address: str) -> AsyncIterator[Sms]:
    """The channel by the provider at `address`."""
    async with text_messages(stack.model_copy(update={"sms_url": address}), Writer(stack)) as found:
        assert found
        yield found


@contextlib.asynccontextmanager
async def provider(status: int, body: str, **headers: str) -> AsyncIterator[tuple[str, list[Any]]]:
    """One that always gives the same answer; its address, and what it was asked."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, dict(request.headers), dict(await request.post())))
        return web.Response(status=status, text=body, headers=headers)

    runner = web.AppRunner(app := web.Application())
    app.router.add_route("*", "/{any:.*}", answer)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://AC1:s%20cret@127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_the_call_is_that_of_twilio(stack: Settings, due: Any, order: Any) -> None:
    """POST of a form to the account's messages, basic authentication, our id as the key of idempotency; the answer's sid is kept."""
    one = due(order(), Channel.SMS)
    async with provider(201, '{"sid": "SM123"}') as (address, asked), channel(stack, f"{address}?from=+15005550006") as sms:
        assert await sms.send(one) == "SM123"
    [(path, headers, form)] = asked

    assert path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert headers["Authorization"] == aiohttp.encode_basic_auth("AC1", "s cret")
    assert headers["Idempotency-Key"] == str(one.id)
    assert form == {"To": "+447700900123", "From": "+15005550006", "Body": "We have your order S-100001 (£10,200.00). Thank you."}


async def test_the_mailbox_keeps_each_once(post: Any, stack: Settings, due: Any, order: Any) -> None:
    """However often it is sent; what is sent again by hand is another message."""
    one = due(order(), Channel.SMS)
    async with channel(stack, post.sms_url) as sms:
        sids = [await sms.send(one) for _ in range(3)]
        again = await sms.send(type(one)(**one.__dict__ | {"rounds": 1}))
    texts = await post.texts()

    assert (len(set(sids)), [text["sid"] for text in texts]) == (1, [sids[0], again])
    assert (texts[0]["to"], texts[0]["from"], texts[0]["idempotency_key"]) == ("+447700900123", "+15005550006", str(one.id))


@pytest.mark.parametrize("status", [302, 400, 401, 402, 404, 409, 422, 429, 500, 503])
async def test_answers_decide(stack: Settings, due: Any, order: Any, status: int) -> None:
    """What is wrong with the message is for good; what is wrong with them or with our account is for now."""
    async with provider(status, '{"message": "no such number"}') as (address, _), channel(stack, address) as sms:
        with pytest.raises(SomsError, match=f"{status} no such number") as refused:
            await sms.send(due(order(), Channel.SMS))

    assert isinstance(refused.value, FailedPrecondition) is (status in {400, 422})


async def test_a_provider_may_ask_for_time(stack: Settings, due: Any, order: Any) -> None:
    """Retry-After in seconds is heeded, other forms are not; an answer that is no JSON, or endless, does no harm."""
    for wait, seconds in (("120", 120), ("tomorrow", None)):
        async with provider(429, "<html>" * 50_000, **{"Retry-After": wait}) as (address, _), channel(stack, address) as sms:
            with pytest.raises(SomsError) as refused:
                await sms.send(due(order(), Channel.SMS))
        assert refused.value.retry_after == seconds


async def test_nobody_listens(stack: Settings, due: Any, order: Any) -> None:
    """A provider that is away may come back."""
    async with provider(200, "") as (address, _):
        pass
    async with channel(stack, address) as sms:
        with pytest.raises(SomsError) as refused:
            await sms.send(due(order(), Channel.SMS))
    assert refused.value.reason == "unavailable"


async def test_without_a_provider_there_is_no_channel(stack: Settings) -> None:
    """And a wrong setting is named."""
    async with text_messages(stack, Writer(stack)) as found:
        assert found is None
    with pytest.raises(InvalidArgument, match="SOMS_SMS_URL"):
        async with channel(stack, "twilio"):
            raise AssertionError
