"""The audit of the database: quiet over whatever orders really go through, loud over each row that is changed behind their back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from soms.config import Settings
from soms.envelope import KINDS
from soms.events import OrderEvent
from soms.local.postgres import Postgres
from soms.models import catalogue, placement
from soms.models import notification_queue as queue
from soms.models.audit import CHECKS, audited, look
from soms.models.audit_check import Check
from soms.models.catalogue import NewProduct
from soms.models.database import fetch, transaction
from soms.models.draft import Draft, Placement, ReservedLine
from soms.models.fulfilment import Settlement, settle
from soms.models.history_projection import Projection
from soms.models.notification import Channel, Status
from soms.models.notification_plan import Planned
from soms.models.order import Action
from soms.models.order_import import import_orders
from soms.models.reservation import Wanted, reserve
from soms.models.transition import Actor, Change, change
from soms.past import EXAMPLE, PastOrder

ANN = uuid4()
STAFF = Actor("staff", str(uuid4()), uuid4())
TELL = "select event_id, type, key from outbox order by id"
UNIQUE = "select conname from pg_constraint where conrelid = 'notifications.notification'::regclass and contype = 'u'"
WHOLE, CANCELLED, PLACED = (
    f"(select id from orders.orders where status = '{status}' and external_number is null)"
    for status in ("delivered", "cancelled", "placed")
)
# what each rule is broken by: statements of the owner of the database, whose constraints stand in the way of some
CORRUPTIONS = {
    "stock.bounds": [
        "alter table products.stock drop constraint stock_reserved",
        "update products.stock set reserved = -1 where sku = 'A'",
    ],
    "stock.products": ["delete from products.product where sku = 'C'"],
    "stock.reserved": ["update products.stock set reserved = reserved + 1 where sku = 'A'"],
    "stock.on_hand": ["update products.movement set delta = delta + 1 where sku = 'A' and kind = 'received'"],
    "stock.movements": [f"update products.movement set order_id = {CANCELLED} where kind = 'returned'"],
    "orders.attempts": [f"update orders.attempt set state = 'ABANDONED' where order_id = {WHOLE}"],
    "orders.lines": [f"update orders.order_line set position = 3 where order_id = {WHOLE} and position = 2"],
    "orders.totals": [f"update orders.orders set total = total - 1 where id = {PLACED}"],
    "orders.timeline": [f"delete from orders.timeline where order_id = {WHOLE} and version = 2"],
    "orders.transitions": [f"update orders.timeline set status_to = 'paid' where order_id = {CANCELLED} and version = 2"],
    "orders.events": [f"delete from orders.outbox where key = {PLACED}::text"],
    "orders.answers": [
        f"""update orders.idempotency set answer = jsonb_set(answer::jsonb, '{{id}}', to_jsonb(uuidv7()))::text
                           where answer::jsonb ->> 'id' = {PLACED}::text"""
    ],
    "orders.imports": ["insert into orders.import (external_number, fingerprint) values ('1', '')"],
    "reservations.states": [f"update products.reservation set state = 'RELEASED' where order_id = {PLACED}"],
    "reservations.lines": [f"update products.reservation_line set sku = 'C' where order_id = {CANCELLED} and sku = 'B'"],
    "reservations.orders": ["update products.reservation set state = 'ALLOCATED' where state = 'HELD'"],
    "reservations.held": ["update products.reservation set created_at = now() - interval '1 hour' where state = 'HELD'"],
    **{
        f"outbox.{schema}": [
            f"insert into {schema}.outbox (type, topic, key, payload, created_at) values ('a', 'b', 'c', '{{}}', now() - interval '1 hour')"
        ]
        for schema in ("users", "products", "analytics")
    },
    "outbox.orders": ["update orders.outbox set published_at = null, created_at = now() - interval '1 hour'"],
    "notifications.once": [
        "alter table notifications.notification drop constraint {unique}",
        """insert into notifications.notification (event_id, event_type, channel, recipient, status, sent_at)
           select event_id, event_type, channel, recipient, status, sent_at from notifications.notification limit 1""",
    ],
    "notifications.missing": ["delete from notifications.notification where event_type = 'soms.order.shipped.v1'"],
    "notifications.stuck": [
        """update notifications.notification set status = 'pending', next_attempt_at = now() - interval '1 hour', payload = '{}'
            where event_type = 'soms.order.paid.v1'"""
    ],
    "history.orders": [f"update analytics.order_fact set country = 'XX' where order_id = {WHOLE}"],
    "history.lines": [f"delete from analytics.line_fact where order_id = {WHOLE} and position = 1"],
    "history.units": [f"update analytics.order_fact set units = units + 1 where order_id = {PLACED}"],
    "history.steps": [f"update analytics.order_fact set paid_at = null where order_id = {WHOLE}"],
}


@pytest.fixture
async def world(database: None, settings: Settings) -> None:
    """Orders that went all the way and came back in part, were cancelled, placed, imported, and stock held for one that never came."""
    for sku in "ABC":
        await catalogue.create(uuid4(), "", NewProduct(sku=sku, name=f"The {sku}", price=150, currency="GBP", on_hand=10))
    await fetch("users", "insert into users (id, email, name, roles) values ($1, 'ann@example.org', 'Ann', '{customer}')", ANN)
    whole, cancelled, _ = [await placed() for _ in range(3)]
    for action in (Action.PAY, Action.SHIP, Action.DELIVER):
        await change(Change(whole, action, STAFF))
    await change(Change(whole, Action.RETURN, STAFF, returned=(("A", 1),)))
    await change(Change(cancelled, Action.CANCEL, STAFF))
    rows = await fetch("orders", "select payload from outbox order by id")
    await settle(Settlement.of(OrderEvent.model_validate_json(row["payload"])) for row in rows)
    await reserve([Wanted(uuid4(), {"C": 1})])
    await import_orders([PastOrder.model_validate(EXAMPLE)], uuid4())
    for schema in ("users", "products", "orders"):
        await fetch(schema, "update outbox set published_at = now()")
    async with transaction("analytics"):
        told = [KINDS[row["type"]].model_validate_json(row["payload"]) for row in await fetch("orders", "select type, payload from outbox")]
        await Projection(settings).write("analytics", told)
    for row in await fetch("orders", TELL):
        planned = [Planned(ANN, Channel.EMAIL, "ann@example.org", Status.SUPPRESSED, None, None)]
        await queue.add(queue.Told(row["event_id"], row["type"], UUID(row["key"]), planned))


async def placed() -> UUID:
    """An order of two A and one B, held and placed."""
    (draft,) = await placement.look_up(b"secret", [Placement(ANN, "ann@example.org", uuid4().hex, (("A", 2), ("B", 1)))])
    assert isinstance(draft, Draft)
    (held,) = await reserve([Wanted(draft.order_id, dict(draft.placement.lines))])
    draft.lines = [ReservedLine(*line) for line in held.lines]
    await placement.place([draft])
    return draft.order_id


@pytest.fixture
async def owner(server: Postgres) -> AsyncIterator[Any]:
    """The owner of all schemas, in a transaction that is rolled back."""
    connection = await asyncpg.connect(server.dsn)
    changes = connection.transaction()
    await changes.start()
    yield connection
    await changes.rollback()
    await connection.close()


async def test_real_lives_are_in_order(world: None, settings: Settings) -> None:
    """Nothing is told of what orders really go through, and every rule had something to look at."""
    results = await audited(settings, 0)

    assert [(result.name, result.breaches) for result in results if result.breaches] == []
    assert [result.name for result in results if not result.things and not result.name.startswith("outbox")] == []


def test_each_rule_has_its_twin() -> None:
    """There is no rule that nobody has broken."""
    assert set(CORRUPTIONS) == {check.name for check in CHECKS}


@pytest.mark.parametrize("name", CORRUPTIONS)
async def test_a_changed_row_is_told(world: None, owner: Any, name: str) -> None:
    """The audit tells the rule that a change behind the services' back has broken, with key, what is found and what is wanted."""
    unique = await owner.fetchval(UNIQUE)
    for statement in CORRUPTIONS[name]:
        await owner.execute(statement.replace("{unique}", unique))

    results = {result.name: result for result in await look(owner)}

    assert results[name].breaches
    assert all(breach.found != breach.wanted for breach in results[name].breaches)


async def test_what_is_under_way_is_waited_for(world: None, settings: Settings, server: Postgres) -> None:
    """A difference that is gone a moment later is not told; one that stays is, after the wait."""
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("update products.stock set reserved = reserved + 1")
    waiting = asyncio.create_task(audited(settings, 30))
    patient = asyncio.create_task(audited(settings, 2))
    stays = {result.name: len(result.breaches) for result in await patient if result.breaches}
    await connection.execute("update products.stock set reserved = reserved - 1")
    await connection.close()

    assert stays == {"stock.reserved": 3}
    assert [result.name for result in await waiting if result.breaches] == []


async def test_it_changes_nothing(settings: Settings, database: None) -> None:
    """A check that would write is refused by the database."""
    wrong = Check("wrong", "", "", "select nextval('orders.order_number')", "select '', '', ''")

    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await audited(settings, 0, [wrong])
