"""First run: the admin's account and a small catalogue to try things on. Changes nothing that is there."""

import asyncio
import contextlib
import csv
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from soms.cli.marker import remember
from soms.cli.services import CALL_SECONDS, found
from soms.config import Settings, secret_file
from soms.errors import AlreadyExists, DeadlineExceeded, Unauthenticated, Unavailable
from soms.rpc.client import Call, Services, calling
from soms.rpc.gen.soms import v1

ADMIN = "admin@soms.localhost"
CATALOGUE = Path(__file__).with_name("catalogue.csv")
WAIT_SECONDS = 90
SEED_SECONDS = 30
PAUSE_SECONDS = 0.25


async def seed(settings: Settings) -> list[str]:
    """Seed what is missing, as soon as the services are up; what was done, in sentences.

    May be broken off anywhere and run again. Raises Unavailable where the services do not come up within 90 s.
    """
    file = settings.home / "admin-password"
    new = not file.exists()
    async with found(settings, "USER-SERVICE", "PRODUCT-SERVICE", timeout_seconds=WAIT_SECONDS) as services:
        created = await _patiently(services, file, settings.currency)
    remember(settings)
    return list(_sentences(file, new=new, created=created))


async def _patiently(services: Services, file: Path, currency: str) -> int:
    """Seed, again while a service that is up does not quite answer yet; the number of products created."""
    refusal: Exception | None = None
    deadline = time.monotonic() + SEED_SECONDS
    while time.monotonic() < deadline:
        try:
            return await _catalogue(services, await _admin(services, file), currency)
        except (Unavailable, DeadlineExceeded) as error:
            refusal = error
            await asyncio.sleep(PAUSE_SECONDS)
    raise Unavailable(f"could not seed within {SEED_SECONDS} s: {refusal}")


async def _admin(services: Services, file: Path) -> str:
    """A token of the admin, whose account is made with the password in `file`; no file where the account has another one already."""
    password = secret_file(file, lambda: secrets.token_urlsafe(16))
    request = v1.IssueTokenRequest(email=ADMIN, role="admin", password=password, name="Administrator")
    token = (await services.as_service.users.issue_token(request, timeout=CALL_SECONDS)).access_token
    try:
        login = v1.LoginRequest(email=ADMIN, password=password, client_address="127.0.0.1")
        await services.users.login(login, timeout=CALL_SECONDS)
    except Unauthenticated:
        await asyncio.to_thread(file.unlink)
    return token


async def _catalogue(services: Services, token: str, currency: str) -> int:
    """Create what is missing of our goods, unless there are others; how many that were."""
    with calling(Call(deadline=time.monotonic() + CALL_SECONDS, token=token)):
        there = {product.sku for product in (await services.products.list_products(v1.ListProductsRequest(page_size=100))).products}
        ours = catalogue(currency)
        if there - {product.sku for product in ours}:
            return 0
        missing = [product for product in ours if product.sku not in there]
        for product in missing:
            with contextlib.suppress(AlreadyExists):  # by a seed that runs beside this one
                await services.products.create_product(product)
    return len(missing)


def _sentences(file: Path, *, new: bool, created: int) -> Iterator[str]:
    if not file.exists():
        yield f"{ADMIN} keeps the password it has in this database"
    elif new:
        yield f"{ADMIN} may do all, with password {file.read_text()} (kept in {file})"
    if created:
        yield f"{created} products to try things on"


def catalogue(currency: str) -> list[v1.CreateProductRequest]:
    """The goods of a small shop; prices in minor units of `currency`."""
    with CATALOGUE.open(newline="") as file:
        return [
            v1.CreateProductRequest(
                sku=row["sku"],
                name=row["name"],
                description=row["description"],
                category=row["category"],
                price=int(row["price"]),
                currency=currency,
                on_hand=int(row["on_hand"]),
                low_threshold=int(row["low_threshold"]),
            )
            for row in csv.DictReader(file)
        ]
