"""Access tokens for scripts on the same machine, issued by the user service without a password."""

import time

from soms.cli.order_file import Order
from soms.cli.services import CALL_SECONDS, found
from soms.config import Settings
from soms.rpc.client import Services
from soms.rpc.gen.soms import v1
from soms.tokens import ACCESS

WAIT_SECONDS = 15


async def issue(settings: Settings, email: str, role: str) -> str:
    """A token for the account of `email`, which is made where missing and gets `role` (`customer`, `staff`, `admin`) where it lacks it."""
    async with found(settings, "USER-SERVICE", timeout_seconds=WAIT_SECONDS) as services:
        return await issued(services, email, role)


class Tokens:
    """Tokens of customers, each kept for half of its life."""

    def __init__(self, services: Services, email: str) -> None:
        """`email` is the customer of orders that name none."""
        self._services, self._email = services, email
        self._known: dict[str, tuple[float, str]] = {}

    async def __call__(self, order: Order) -> str:
        """The token of the customer of `order`."""
        email, now = order.email or self._email, time.monotonic()
        since, token = self._known.get(email, (0.0, ""))
        if not token or now - since > ACCESS.lifetime_seconds / 2:
            token = await issued(self._services, email, "customer")
            self._known[email] = now, token
        return token


async def issued(services: Services, email: str, role: str) -> str:
    """The same over services at hand."""
    request = v1.IssueTokenRequest(email=email, role=role)
    return (await services.as_service.users.issue_token(request, timeout=CALL_SECONDS)).access_token
