"""Who may call what: the rule that each method of a servicer declares, and the check of a caller against it.

    class OrderServicer(v1.OrderServiceBase):
        @allows("customer")
        async def place_order(self, message: v1.PlaceOrderRequest) -> v1.PlaceOrderResponse: ...

A method without a rule keeps its server from starting. Knows roles and tokens, no transport.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from soms.errors import PermissionDenied, Unauthenticated
from soms.tokens import Identity, Verifier

Method = TypeVar("Method", bound=Callable[..., Any])
Party = Literal["anyone", "customer", "staff", "admin", "service"]
# staff may what customers may, admins may all
ROLES: Final[dict[Party, frozenset[str]]] = {
    "customer": frozenset({"customer", "staff", "admin"}),
    "staff": frozenset({"staff", "admin"}),
    "admin": frozenset({"admin"}),
}
LIMIT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a method, and the longest time a call of it may take."""

    roles: frozenset[str]
    anyone: bool
    services: bool
    limit_seconds: float


def allows(*parties: Party, limit_seconds: float = LIMIT_SECONDS) -> Callable[[Method], Method]:
    """Let `parties` call the method; calls that ask for more time than `limit_seconds` get that much."""
    roles = frozenset[str]().union(*(ROLES[party] for party in parties if party in ROLES))
    rule = Rule(roles, "anyone" in parties, "service" in parties, limit_seconds)

    def declare(method: Method) -> Method:
        method.__dict__["rule"] = rule
        return method

    return declare


def rule_of(method: Callable[..., Any]) -> Rule:
    """The rule that `method` declares; TypeError where it has none."""
    rule = getattr(method, "rule", None)
    if not isinstance(rule, Rule):
        raise TypeError(f"{method.__qualname__} does not say who may call it")
    return rule


def admit(rule: Rule, verifier: Verifier, token: str | None) -> Identity | None:
    """Who holds `token`, if the rule lets them in; where anyone may call, a bad token is as good as none.

    Raises Unauthenticated where it takes a token and there is no good one, PermissionDenied where its holder may not.
    """
    try:
        identity = verifier.verify(token or "", services=rule.services)
    except Unauthenticated:
        if rule.anyone:
            return None
        raise
    if rule.anyone or (rule.services and identity.service) or not rule.roles.isdisjoint(identity.roles):
        return identity
    raise PermissionDenied
