"""The commands of `soms` beside the running stack, as scripts use them."""

import asyncio
import stat
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from soms.cli.marker import seeded
from soms.cli.seed import ADMIN, catalogue, seed
from soms.config import Settings
from soms.models.database import SCHEMAS
from soms.tokens import Verifier

ENGINES = ("postgres", "kafka", "eureka", "smtp")


class Ended(NamedTuple):
    """How a command ended and what it said."""

    code: int | None
    said: str
    complained: str


async def soms(stack: Any, *arguments: str, **environment: str) -> Ended:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "soms", *arguments),
        env=stack.environment | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        said, complained = await process.communicate()
    return Ended(process.returncode, said.decode(), complained.decode())


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Three orders of a customer each: one that can be, one with goods nobody knows, one of none at all."""
    file = tmp_path / "orders.csv"
    file.write_text(
        "order,sku,quantity,email\n"
        "1,PEN-FINE,2,one@example.org\n2,NO-SUCH-THING,1,two@example.org\n1,TOWEL-LINEN,1,one@example.org\n3,PEN-FINE,0,three@example.org\n"
    )
    return file


async def test_first_run_made_an_admin_and_a_catalogue(stack: Any) -> None:
    """The password was printed once, is kept for its owner alone, and opens the door."""
    file = stack.home / "admin-password"
    nobody = await stack.client()
    login = await nobody("POST", "auth/login", {"email": ADMIN, "password": file.read_text()})
    admin = await stack.client(token=login.body["access_token"])
    profile = await admin("GET", "users/me")
    goods = [await nobody("GET", f"products/{product.sku}") for product in catalogue("GBP")]

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stack.output.read_text().count(file.read_text()) == 1
    assert (login.status, "admin" in profile.body["roles"]) == (200, True)
    assert [(one.status, one.body["price"], one.body["currency"]) for one in goods] == [(200, p.price, "GBP") for p in catalogue("GBP")]


async def test_seed_changes_nothing_later(stack: Any) -> None:
    """A second run is silent, also where it cannot know of the first."""
    settings = Settings(home=stack.home)
    before = (stack.home / "admin-password").read_text(), await stack.rows("select * from products.product order by sku")
    marked = await soms(stack, "seed")
    unmarked = await seed(settings)
    after = (stack.home / "admin-password").read_text(), await stack.rows("select * from products.product order by sku")

    assert marked == Ended(0, "", "")
    assert (unmarked, after) == ([], before)
    assert seeded(settings)
    assert not seeded(Settings(home=stack.home, postgres="postgresql://u:p@elsewhere/soms"))


async def test_state_folder_that_is_younger_than_its_database(stack: Any, tmp_path: Path) -> None:
    """The admin keeps the password of old: no file tells a wrong one."""
    young = Settings(home=tmp_path, secrets_folder=stack.home / "secrets", **{n: getattr(Settings(home=stack.home), n) for n in ENGINES})

    assert await seed(young) == [f"{ADMIN} keeps the password it has in this database"]
    assert not (tmp_path / "admin-password").exists()


async def test_token_is_all_that_is_printed(stack: Any) -> None:
    """A script can take it as it is; the account is there from then on, with its role."""
    ended = await soms(stack, "token", "--email", "Clerk@example.org", "--role", "staff")
    identity = Verifier(Settings(home=stack.home)).verify(ended.said.strip())

    assert (ended.code, ended.complained, ended.said.count("\n")) == (0, "", 1)
    assert (identity.email, identity.roles) == ("clerk@example.org", {"customer", "staff"})


async def test_refusals_come_in_one_line(stack: Any) -> None:
    """No traceback for what a person can put right."""
    wrong = await soms(stack, "token", "--email", "nobody")
    away = await soms(stack, "place", "MUG-BLUE=1", SOMS_WEB_PORT="1")
    neither = await soms(stack, "place", "MUG-BLUE")

    assert [(one.code, one.said, one.complained.count("\n")) for one in (wrong, away, neither)] == [(1, "", 1)] * 3
    assert wrong.complained.startswith("Error: email: ")
    assert away.complained.startswith("Error: no gateway answers at http://127.0.0.1:1")
    assert neither.complained == "Error: an order is written SKU=QUANTITY, such as MUG-BLUE=2, not MUG-BLUE\n"


async def test_one_order_from_the_command_line(stack: Any) -> None:
    """It tells the number; a key places it once; a refusal names what is short."""
    placed = await soms(stack, "place", "MUG-SAND=2", "PEN-FINE=10", "--key", "monday")
    again = await soms(stack, "place", "MUG-SAND=2", "PEN-FINE=10", "--key", "monday")
    short = await soms(stack, "place", "MUG-SAND=1000000", "--email", "greedy@example.org")

    assert placed.code == again.code == 0
    assert "placed: GBP 5,300 in minor units" in placed.said
    assert again.said == placed.said.rstrip() + " (placed before, not again)\n"
    assert (short.code, short.said) == (1, "")
    assert "insufficient_stock" in short.complained
    assert '"requested":1000000' in short.complained


async def test_file_of_orders_is_reported_and_replayed(stack: Any, orders: Path) -> None:
    """Accepted and refused are counted; a second run places nothing and says so."""
    first = await soms(stack, "place", "--file", str(orders), "--clients", "2")
    again = await soms(stack, "place", "--file", str(orders))
    placed = await stack.rows("select total from orders.orders where email = 'one@example.org'")

    assert first.code == again.code == 1
    assert [line.split()[:2] for line in first.said.splitlines()[:5]] == [
        ["accepted", "1"],
        ["refused", "2"],
        ["failed", "0"],
        ["units", "3"],
        ["value", "GBP"],
    ]
    assert "1,510" in first.said
    assert sorted(line.split(":")[0] for line in first.complained.splitlines()) == ["2 refused", "3 refused"]
    assert "1 of them placed before" in again.said
    assert placed == [(1510,)]


async def test_token_given_needs_nothing_but_the_gateway(stack: Any, orders: Path, tmp_path: Path) -> None:
    """From another machine: no registry, no secrets; all orders are the token's holder's."""
    token = await stack.issue("far@example.org", "customer")
    ended = await soms(stack, "place", "PEN-FINE=1", "--url", stack.url, "--token", token, SOMS_HOME=str(tmp_path))

    assert ended.code == 0, ended
    assert await stack.rows("select total from orders.orders where email = 'far@example.org'") == [(280,)]


async def test_migrate_and_topics_may_run_while_all_is_up(stack: Any) -> None:
    """They find nothing to do."""
    assert await soms(stack, "migrate") == Ended(0, f"up to date: schemas {', '.join(SCHEMAS)}\n", "")
    topics = await soms(stack, "topics")
    assert (topics.code, topics.said.partition(":")[0]) == (0, "as they should be")
