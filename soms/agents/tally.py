"""What is counted of orders: orders, units, revenue by currency, cancellations, returns. Adds up; knows no event and no window."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

COUNTS: Final = ("orders", "units", "cancelled", "returned")


@dataclass(slots=True)
class Tally:
    """Sums; `revenue` in minor units by currency, net of what was undone. `name` is that of a product, where it is one's tally."""

    orders: int = 0
    units: int = 0
    cancelled: int = 0
    returned: int = 0
    revenue: dict[str, int] = field(default_factory=dict)
    name: str | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Read what `value` wrote."""
        counts = {count: value.get(count, 0) for count in COUNTS}
        return cls(**counts, revenue=dict(value.get("revenue", {})), name=value.get("name"))

    @property
    def value(self) -> dict[str, Any]:
        """As JSON knows it, without zeros."""
        found: dict[str, Any] = {count: number for count in COUNTS if (number := getattr(self, count))}
        found |= {"revenue": self.revenue} if self.revenue else {}
        return found | ({"name": self.name} if self.name else {})

    def add(self, other: Self, times: int = 1) -> None:
        """Add what `other` counts; with `times` -1 take it away."""
        self.orders += times * other.orders
        self.units += times * other.units
        self.cancelled += times * other.cancelled
        self.returned += times * other.returned
        for currency, amount in other.revenue.items():
            self.revenue[currency] = self.revenue.get(currency, 0) + times * amount
        if times > 0:
            self.name = other.name or self.name
