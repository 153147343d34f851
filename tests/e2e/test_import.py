"""Importing a month of a real shop (UCI Online Retail, December 2010) and what is not so real, through the whole stack."""

import asyncio
import csv
import io
import json
import lzma
import sys
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data" / "online-retail-2010-12..2011-08.csv.xz"
MONTH = "2010-12"
LONDON = zoneinfo.ZoneInfo("Europe/London")
NDJSON = {"Content-Type": "application/x-ndjson"}
AT = "2010-12-01T08:26:00Z"


def pence(text: str) -> int:
    """Minor units of a price in pounds."""
    return int(Decimal(text) * 100)


def moment(text: str) -> str:
    """The time of an invoice, which the shop told in its own zone."""
    return datetime.fromisoformat(text).replace(tzinfo=LONDON).astimezone(UTC).isoformat()


def month() -> dict[str, dict[str, Any]]:
    """The month's invoices as import lines, cancellations too."""
    orders: dict[str, dict[str, Any]] = {}
    text = io.StringIO(lzma.decompress(DATA.read_bytes()).decode())
    for row in csv.DictReader(text):
        if not row["InvoiceDate"].startswith(MONTH):
            continue
        new = {"external_number": row["InvoiceNo"], "placed_at": moment(row["InvoiceDate"]), "currency": "GBP", "lines": []}
        new |= {"external_user": row["CustomerID"] or None, "country": row["Country"]}
        line = {
            "sku": row["StockCode"],
            "name": row["Description"],
            "quantity": int(row["Quantity"]),
            "unit_price": pence(row["UnitPrice"]),
        }
        orders.setdefault(row["InvoiceNo"], new)["lines"].append(line)
    return orders


def goods(*lines: tuple[str, int, int]) -> list[dict[str, Any]]:
    """Lines of SKU, pieces and price."""
    return [{"sku": sku, "name": f"Old {sku}", "quantity": quantity, "unit_price": price} for sku, quantity, price in lines]


async def imported(client: Any, *orders: Any) -> list[Any]:
    """The reports, and the summary last."""
    body = "".join(json.dumps(order) + "\n" for order in orders)
    async with client.session.post("/api/v1/orders/import", data=io.BytesIO(body.encode()), headers=client.headers | NDJSON) as answer:
        assert answer.status == 200, await answer.text()
        return [json.loads(line) async for line in answer.content]


async def books(stack: Any, prefix: str) -> tuple[int, int, int]:
    """Orders, pieces and value of imported orders that stand."""
    (row,) = await stack.rows(
        "select count(distinct o.id) as orders, sum(l.quantity)::int as units, sum(l.quantity * l.unit_price)::bigint as value"
        " from orders.orders o join orders.order_line l on l.order_id = o.id where o.external_number like $1 and status <> 'cancelled'",
        f"{prefix}%",
    )
    return tuple(row)  # type: ignore[return-value]


async def told(stack: Any, prefix: str) -> bool:
    """Whether the relay has told of all imported orders."""
    statement = "select count(*) as n from orders.outbox where published_at is null and payload::jsonb ->> 'external_number' like $1"
    return bool((await stack.rows(statement, f"{prefix}%"))[0]["n"] == 0)


@pytest.fixture
async def staff(stack: Any) -> Any:
    """Somebody who may import."""
    return await stack.client("import-staff@example.org", "staff")


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data, real orders that are not part of the repository")
async def test_a_real_month(stack: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every invoice, by the command: orders, pieces and value agree to the penny in report and books; again all are replayed."""
    orders = month()
    lines = [line for order in orders.values() for line in order["lines"]]
    units, value = sum(line["quantity"] for line in lines), sum(line["quantity"] * line["unit_price"] for line in lines)
    file = tmp_path / "month.ndjson"
    file.write_text("".join(json.dumps({**order, "external_number": f"M-{number}"}) + "\n" for number, order in orders.items()))

    outputs = []
    for outcome in ("created", "replayed"):
        began = time.perf_counter()
        command = (sys.executable, "-m", "soms", "import", str(file))
        run = await asyncio.create_subprocess_exec(*command, env=stack.environment, stdout=asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(run.communicate(), 120)
        outputs.append(f"{outcome}: {time.perf_counter() - began:.1f} s\n{output.decode()}")
        found = {words[0]: words[-1] for words in (line.split() for line in output.decode().splitlines()) if words}
        assert (run.returncode, found[outcome], found["refused"]) == (0, f"{len(orders):,}", "0"), outputs
        assert (found["units"], f"{value:,}" in output.decode()) == (f"{units:,}", True)

    assert await books(stack, "M-") == (len(orders), units, value)
    await stack.until(lambda: told(stack, "M-"), 60)
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(outputs))


async def test_nothing_else_happens(stack: Any, staff: Any) -> None:
    """No stock moves, nobody is notified; the event bears the time of the order; what cancels it undoes it."""
    sku = f"IMPORTED-{time.time_ns()}"
    await staff("POST", "products", {"sku": sku, "name": "Anything", "price": 1, "currency": "GBP", "on_hand": 5})
    order = {"placed_at": AT, "currency": "GBP", "email": "past@example.org", "name": "Ann", "country": "GB", "lines": goods((sku, 6, 255))}
    undo = {
        "external_number": "N-C1",
        "cancels": "N-1",
        "placed_at": "2010-12-02T08:26:00Z",
        "currency": "GBP",
        "lines": goods((sku, -6, 255)),
    }
    first, second, summary = await imported(staff, {**order, "external_number": "N-1"}, {**order, "external_number": "N-2"})
    assert summary["summary"] == {"created": 2, "replayed": 0, "refused": 0, "units": 12, "value": {"GBP": 3060}}
    assert (await imported(staff, undo))[0]["order_id"] == first["order_id"]

    await stack.until(lambda: told(stack, "N-"), 30)
    shown = [(await staff("GET", f"orders/{one['order_id']}")).body for one in (first, second)]
    assert [(one["external_number"], one["status"], one["created_at"][:19]) for one in shown] == [
        ("N-1", "cancelled", AT[:19]),
        ("N-2", "placed", AT[:19]),
    ]
    entries = (await staff("GET", f"orders/{first['order_id']}/timeline")).body["items"]
    assert [(entry["to"], entry["at"][:10], entry["actor"]["type"]) for entry in entries] == [
        ("placed", "2010-12-01", "staff"),
        ("cancelled", "2010-12-02", "staff"),
    ]
    stock = (await staff("GET", f"products/{sku}/stock")).body
    assert (stock["on_hand"], stock["reserved"]) == (5, 0)
    sent = (await staff("GET", f"notifications?order_id={second['order_id']}")).body
    assert sent["items"] == []


def many(prefix: str, count: int) -> Iterator[dict[str, Any]]:
    """Small orders."""
    for n in range(count):
        yield {"external_number": f"{prefix}{n}", "placed_at": AT, "currency": "GBP", "lines": goods(("A", 1, 100))}


async def test_two_imports_of_one_file_at_once(stack: Any, staff: Any) -> None:
    """Rivals share the work: each order is created once."""
    orders = list(many("R-", 500))
    ended = await asyncio.gather(imported(staff, *orders), imported(staff, *reversed(orders)))

    sums = [one[-1]["summary"] for one in ended]
    assert (sums[0]["created"] + sums[1]["created"], sums[0]["refused"] + sums[1]["refused"]) == (500, 0)
    assert [one["value"] for one in sums] == [{"GBP": 50_000}] * 2
    assert await books(stack, "R-") == (500, 500, 50_000)


async def test_ten_thousand_lines_arrive(stack: Any, staff: Any) -> None:
    """One order of 10,000 lines is imported and told; so is one that staff enter, whose stock is held."""
    lines = goods(*((f"{n:05}A", 12, 12345) for n in range(10_000)))
    report, _ = await imported(staff, {"external_number": "L-1", "placed_at": AT, "currency": "GBP", "lines": lines})
    assert report["outcome"] == "created"
    assert len((await staff("GET", f"orders/{report['order_id']}")).body["lines"]) == 10_000
    await stack.until(lambda: told(stack, "L-"), 30)

    sku = f"ENTERED-{time.time_ns()}"
    await staff("POST", "products", {"sku": sku, "name": "Anything", "price": 100, "currency": "GBP", "on_hand": 10_000})
    entry = {"email": "guest@example.org", "lines": [{"sku": sku, "quantity": 1, "unit_price": 90}, {"sku": sku, "quantity": 1}] * 5_000}
    entered = await staff("POST", "orders/entry", entry, Idempotency_Key=sku)
    assert (entered.status, entered.body["total"], entered.body["user_id"]) == (201, 950_000, None), entered
    again = await staff("POST", "orders/entry", entry, Idempotency_Key=sku)
    assert (again.body, again.headers["Idempotent-Replayed"]) == (entered.body, "true")
    assert (await staff("GET", f"products/{sku}/stock")).body["reserved"] == 10_000
