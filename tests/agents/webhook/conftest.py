"""Receivers, and what sends to them."""

from collections.abc import AsyncIterator

import pytest

from soms.agents.delivery import Delivery
from tests.agents.webhook.receiver import Receiver, receiving, sending


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of webhooks."""
    async with receiving() as one:
        yield one


@pytest.fixture
async def delivery() -> AsyncIterator[Delivery]:
    """What sends, to private addresses too."""
    async with sending() as one:
        yield one
