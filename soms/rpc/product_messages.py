"""Products on the wire: documents of the domain to messages of `soms.v1`, and requests to values of the domain."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from soms.errors import InvalidArgument, NotFound
from soms.models.fulfilment import Settlement
from soms.models.reservation import Outcome, Wanted
from soms.rpc.gen.soms import v1
from soms.values import IdempotencyKey, Sku, Value

RESERVATIONS_LIMIT = 32
SETTLEMENTS_LIMIT = 500

_SKU: TypeAdapter[str] = TypeAdapter(Sku)
_WANTED = TypeAdapter(list[Wanted])
_SETTLEMENTS = TypeAdapter(list[Settlement])


class Key(Value):
    """The client's name for an attempt."""

    idempotency_key: IdempotencyKey


def members(message: Any, *names: str) -> dict[str, Any]:
    """The named members of a message that are there."""
    return {name: value for name in names if (value := getattr(message, name)) is not None}


def sku(text: str) -> str:
    """The SKU of a product; what is no SKU is that of none. Raises NotFound."""
    try:
        return _SKU.validate_python(text)
    except ValidationError as cause:
        raise NotFound("no such product") from cause


def key(text: str) -> str:
    """An idempotency key, or nothing."""
    return Key(idempotency_key=text).idempotency_key if text else ""


def wanted(message: v1.ReserveStockRequest) -> list[Wanted]:
    """What each order wants held. Raises InvalidArgument where an order, or a SKU of one, stands twice, or there are too many."""
    asked = [
        {"order_id": one.order_id, "lines": _once("lines", [(line.sku, line.quantity) for line in one.lines])}
        for one in message.reservations
    ]
    found = _WANTED.validate_python(asked)
    _once("reservations", [(one.order_id, 1) for one in found])
    _bounded("reservations", found, RESERVATIONS_LIMIT)
    return found


def settlements(message: v1.SettleStockRequest) -> list[Settlement]:
    """Where each order stands. Raises InvalidArgument."""
    _bounded("settlements", message.settlements, SETTLEMENTS_LIMIT)
    asked = [
        {
            **members(one, "order_id", "version", "status"),
            "returned": _once("returned", [(x.sku, x.returned_quantity) for x in one.returned]),
        }
        for one in message.settlements
    ]
    return _SETTLEMENTS.validate_python(asked)


def outcome(found: Outcome) -> v1.ReservationOutcome:
    """The message of an outcome."""
    return v1.ReservationOutcome(
        order_id=str(found.order_id),
        lines=[v1.ReservedLine(*line) for line in found.lines],
        short=[v1.Shortage(*short) for short in found.short],
        unknown_skus=list(found.unknown_skus),
        inactive_skus=list(found.inactive_skus),
        mismatch=found.mismatch,
        released=found.released,
    )


def product(document: dict[str, Any]) -> v1.Product:
    """The message of a product's document."""
    return v1.Product(**document)


def price(row: Any) -> v1.Price:
    """The message of a price."""
    return v1.Price(row["price"], row["currency"], row["since"])


def movement(row: Any) -> v1.Movement:
    """The message of a line of the ledger."""
    order_id = row["order_id"] and str(row["order_id"])
    return v1.Movement(str(row["id"]), row["at"], row["kind"], row["delta"], row["on_hand"], row["reason"], order_id)


def _once(name: str, pairs: Sequence[tuple[Any, int]]) -> dict[Any, int]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidArgument.field(name, "not_unique", "each at most once")
    return found


def _bounded(name: str, items: Sequence[Any], limit: int) -> None:
    if len(items) > limit:
        raise InvalidArgument.field(name, "too_long", f"at most {limit}")
