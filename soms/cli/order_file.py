"""Orders in a CSV file: one row a line of an order, rows of one order anywhere in the file. Knows no network."""

import csv
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soms.errors import InvalidArgument

COLUMNS = ("order", "sku", "quantity", "email")
# of the names under which orders of one file are known to the gateway; any UUID will do, as long as it stays the same
NAMESPACE = uuid.UUID("5d0b8f0e-5d5c-4d0c-9a51-6d2f8f0f7c11")


@dataclass
class Order:
    """An order to place: what people call it, the idempotency key of all attempts, SKUs with pieces, whose it is."""

    name: str
    key: str
    lines: list[tuple[str, int]] = field(default_factory=list)
    email: str | None = None


def columns(text: str) -> dict[str, str]:
    """`order=InvoiceNo,sku=StockCode` as a mapping of our names to a file's; raises InvalidArgument for anything else."""
    names = {ours: theirs for ours, _, theirs in (pair.partition("=") for pair in text.split(",") if pair)}
    if not all(names.values()) or not names.keys() <= set(COLUMNS):
        raise InvalidArgument(f"--columns wants OURS=THEIRS,... with OURS of {', '.join(COLUMNS)}, not {text}")
    return names


def read(path: Path, renamed: Mapping[str, str] | None = None) -> list[Order]:
    """The orders of a file in the order of their first rows; `renamed` maps our names of columns to the file's.

    An order keeps its key as long as it keeps its name and the file keeps its own. Raises InvalidArgument with the number of the line.
    """
    names = {column: column for column in COLUMNS} | dict(renamed or {})
    orders: dict[str, Order] = {}
    for number, row in _rows(path, names):
        try:
            name, line = row[names["order"]], (row[names["sku"]].strip(), int(row[names["quantity"]]))
        except ValueError:
            raise InvalidArgument(f"{path}, line {number}: {row[names['quantity']]!r} is no whole number") from None
        order = orders.setdefault(name, Order(name, str(uuid.uuid5(NAMESPACE, f"{path.name}\n{name}"))))
        order.lines.append(line)
        order.email = row.get(names["email"]) or order.email
    return list(orders.values())


def _rows(path: Path, names: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows that say something, with the numbers of their lines."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            wanted = [names["order"], names["sku"], names["quantity"]]
            if missing := [column for column in wanted if column not in (reader.fieldnames or ())]:
                found = ", ".join(reader.fieldnames or ())
                raise InvalidArgument(f"{path} has no column {', '.join(missing)}, only {found}; --columns order=... tells their names")
            for row in reader:
                if any(row[column] for column in wanted):
                    yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgument(f"{path} cannot be read: {error}") from error
