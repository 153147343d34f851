"""One whole day of a real shop (UCI Online Retail, 1 December 2010) through REST, against a computation of its own over the file."""

import csv
import io
import lzma
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from soms.cli.order_file import Order
from soms.cli.sending import place_all

DATA = Path(__file__).parents[3] / "shared" / "data" / "online-retail-2010-12..2011-08.csv.xz"
DAY = "2010-12-01"
GUEST = "guest"
CLIENTS = 8

Row = dict[str, str]


def pence(text: str) -> int:
    """Minor units of a price in pounds."""
    return int(Decimal(text) * 100)


def day() -> tuple[list[Row], list[Row]]:
    """The day's lines: those with a positive quantity and price, and the others; SKUs get a prefix that no other test has."""
    text = io.StringIO(lzma.decompress(DATA.read_bytes()).decode())
    rows = [row for row in csv.DictReader(text) if row["InvoiceDate"].startswith(DAY)]
    for row in rows:
        row["StockCode"] = f"DAY-{row['StockCode']}"
    good = [row for row in rows if int(row["Quantity"]) > 0 and pence(row["UnitPrice"]) > 0]
    return good, [row for row in rows if row not in good]


async def catalogue(staff: Any, rows: list[Row]) -> dict[str, int]:
    """Make the day's goods with their first price and enough stock; prices in pence by SKU."""
    first: dict[str, Row] = {}
    wanted: dict[str, int] = defaultdict(int)
    for row in rows:
        first.setdefault(row["StockCode"], row)
        wanted[row["StockCode"]] += int(row["Quantity"])
    for sku, row in first.items():
        name = row["Description"].strip() or sku
        body = {"sku": sku, "name": name, "price": pence(row["UnitPrice"]), "currency": "GBP", "on_hand": wanted[sku]}
        made = await staff("POST", "products", body)
        assert made.status == 201, (body, made)
    return {sku: pence(row["UnitPrice"]) for sku, row in first.items()}


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data, real orders that are not part of the repository")
async def test_a_real_day(stack: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Every invoice of the day is placed by its customer: orders, units and value agree to the penny, in answers and in the books."""
    rows, left_out = day()
    prices = await catalogue(await stack.client("day-staff@example.org", "staff"), rows)
    orders: dict[str, Order] = {}
    for row in rows:
        who = f"customer-{row['CustomerID'] or GUEST}@example.org"
        order = orders.setdefault(row["InvoiceNo"], Order(row["InvoiceNo"], f"day-{row['InvoiceNo']}", email=who))
        order.lines.append((row["StockCode"], int(row["Quantity"])))
    tokens = {email: await stack.issue(email, "customer") for email in {order.email for order in orders.values()}}

    async def token(order: Order) -> str:
        return str(tokens[order.email])

    report = await place_all(stack.session, orders.values(), CLIENTS, token)

    units = sum(int(row["Quantity"]) for row in rows)
    value = sum(int(row["Quantity"]) * prices[row["StockCode"]] for row in rows)
    assert (report.refused, report.failed) == ({}, {})
    assert (report.accepted, report.units, report.value) == (len(orders), units, {"GBP": value})
    again = await place_all(stack.session, orders.values(), CLIENTS, token)
    assert (again.replayed, again.value) == (len(orders), {"GBP": value})
    (books,) = await stack.rows(
        "select count(distinct o.id) as orders, sum(l.quantity)::int as units, sum(l.quantity * l.unit_price)::bigint as value"
        " from orders.orders o join orders.order_line l on l.order_id = o.id where o.email like 'customer-%@example.org'"
    )
    assert tuple(books) == (len(orders), units, value)
    missing = sum(int(row["Quantity"]) * Decimal(row["UnitPrice"]) for row in left_out)
    figures = (
        f"{DAY}: {len(orders)} orders, {units:,} units, GBP {value / 100:,.2f} at first prices",
        f"left out: {len(left_out)} lines, GBP {missing:,.2f}",
        f"{CLIENTS} clients: {report.rate:.0f} orders/s, p50 {report.percentile(50):.4f} s, p99 {report.percentile(99):.4f} s",
    )
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(figures) + "\n")
