"""What services and agents answer in tests of the gateway."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from soms.rpc.gen.soms import v1

ADA = UUID("018f0000-0000-7000-8000-00000000ada0")
ID = "018f0000-0000-7000-8000-000000000001"
AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


def samples() -> SimpleNamespace:
    """One message of each noun."""
    place = {"name": "Ada", "line1": "12 St James's Square", "city": "London", "country": "GB"}
    quiet = v1.QuietHours(from_="22:00", to="07:00")
    channel = v1.ChannelPreferences(orders=True)
    return SimpleNamespace(
        order=v1.Order(
            id=ID,
            number="S-1001",
            user_id=str(ADA),
            email="ada@example.com",
            status=v1.OrderStatus.PLACED,
            currency="GBP",
            lines=[v1.OrderLine(sku="TEA", name="Tea", quantity=2, unit_price=850, total=1700)],
            subtotal=1700,
            total=1700,
            shipping_address=v1.ShippingAddress(**place),
            version=1,
            created_at=AT,
            updated_at=AT,
        ),
        entry=v1.TimelineEntry(at=AT, to=v1.OrderStatus.PLACED, actor=v1.Actor(type="customer", id=str(ADA)), version=1),
        user=v1.User(id=str(ADA), email="ada@example.com", name="Ada", roles=["customer"], version=3, created_at=AT),
        tokens=v1.Tokens(access_token="a.b.c", expires_in=600, refresh_token="r"),
        address=v1.Address(id=ID, version=2, is_default=True, **place),
        preferences=v1.Preferences(email=channel, sms=channel, quiet_hours=quiet, time_zone="UTC", locale="en", version=4),
        product=v1.Product(sku="TEA", name="Tea", price=850, currency="GBP", available=7, active=True, version=5),
        price=v1.Price(price=850, currency="GBP", from_=AT),
        stock=v1.Stock(sku="TEA", on_hand=9, reserved=2, available=7, low_threshold=3),
        movement=v1.Movement(id=ID, at=AT, kind="received", delta=9, on_hand=9, reason="first"),
    )


def answers(one: SimpleNamespace) -> dict[str, Any]:
    """What each method of the services answers unless a test says otherwise."""
    user, address = {"user": one.user}, {"address": one.address}
    changes = ("cancel_order", "pay_order", "ship_order", "deliver_order", "return_order")
    changed = {name: getattr(v1, f"{name.title().replace('_', '')}Response")(order=one.order) for name in changes}
    return changed | {
        "register_user": v1.RegisterUserResponse(**user),
        "login": v1.LoginResponse(tokens=one.tokens),
        "refresh_token": v1.RefreshTokenResponse(tokens=one.tokens),
        "logout": v1.LogoutResponse(),
        "request_password_reset": v1.RequestPasswordResetResponse(),
        "confirm_password_reset": v1.ConfirmPasswordResetResponse(),
        "get_user": v1.GetUserResponse(**user),
        "list_users": v1.ListUsersResponse(users=[one.user]),
        "update_user": v1.UpdateUserResponse(**user),
        "anonymise_user": v1.AnonymiseUserResponse(),
        "stop_channel": v1.StopChannelResponse(),
        "set_roles": v1.SetRolesResponse(**user),
        "list_addresses": v1.ListAddressesResponse(addresses=[one.address]),
        "get_address": v1.GetAddressResponse(**address),
        "create_address": v1.CreateAddressResponse(**address),
        "update_address": v1.UpdateAddressResponse(**address),
        "delete_address": v1.DeleteAddressResponse(),
        "get_preferences": v1.GetPreferencesResponse(preferences=one.preferences),
        "set_preferences": v1.SetPreferencesResponse(preferences=one.preferences),
        "create_product": v1.CreateProductResponse(product=one.product),
        "get_product": v1.GetProductResponse(product=one.product),
        "list_products": v1.ListProductsResponse(products=[one.product]),
        "update_product": v1.UpdateProductResponse(product=one.product),
        "list_prices": v1.ListPricesResponse(prices=[one.price]),
        "get_stock": v1.GetStockResponse(stock=one.stock),
        "adjust_stock": v1.AdjustStockResponse(stock=one.stock),
        "list_movements": v1.ListMovementsResponse(movements=[one.movement]),
        "place_order": v1.PlaceOrderResponse(order=one.order),
        "enter_order": v1.EnterOrderResponse(order=one.order),
        "import_orders": v1.ImportOrdersResponse([v1.ImportOutcome(order_id=ID)]),
        "get_order": v1.GetOrderResponse(order=one.order),
        "list_orders": v1.ListOrdersResponse(orders=[one.order]),
        "list_timeline": v1.ListTimelineResponse(entries=[one.entry]),
        "claim_key": v1.ClaimKeyResponse(),
    }


def agent_answers() -> dict[tuple[str, str], Any]:
    """What agents answer, by method and path."""
    webhook = {"url": "https://example.com/", "event_types": ["*"], "active": True, "paused_reason": None, "version": 6}
    webhook |= {"id": ID, "created_at": "2026-11-22T10:00:00+00:00"}
    made = webhook | {"secret": "whsec_A"}
    known = dict.fromkeys(("id", "event_id", "order_id"), ID) | {"channel": "email", "recipient": "ada@example.com"}
    known |= {"event_type": "soms.order.placed.v1"}
    attempt = {"at": "2026-11-22T10:00:01.5+01:00", "outcome": "sent", "detail": "250 OK"}
    times = {"next_attempt_at": None, "created_at": "2026-11-22T10:00:00+00:00", "sent_at": "2026-11-22T10:00:01.5+00:00"}
    notifications = {"items": [known | times | {"status": "sent", "attempts": [attempt]}], "next_page_token": "more"}
    return figures() | {
        ("GET", "/notifications"): notifications,
        ("GET", "/users/me/notifications"): notifications,
        ("POST", "/notifications/{id}/redeliver"): {},
        ("GET", "/webhooks"): {"items": [webhook], "next_page_token": ""},
        ("POST", "/webhooks"): made,
        ("GET", "/webhooks/{id}"): webhook,
        ("PATCH", "/webhooks/{id}"): webhook,
        ("DELETE", "/webhooks/{id}"): None,
        ("POST", "/webhooks/{id}/rotate-secret"): made,
    }


def figures() -> dict[tuple[str, str], Any]:
    """What the analytics agent answers."""
    at, revenue = "2026-11-22T10:00:00.000000Z", {"GBP": 1700}
    few = {"orders": 1, "units": 2, "revenue": revenue}
    window = few | {"start": at, "seconds": 60, "cancelled": 0, "returned": 0}
    sold = few | {"sku": "TEA", "name": "Tea"}
    live = {"as_of": at, "lag_seconds": 0.1, "windows": [window] * 60, "top_products": [sold], "top_countries": [few | {"country": "GB"}]}
    live["totals"] = dict.fromkeys(("last_minute", "last_hour", "today"), window)
    shares = {"average_order_value": revenue, "cancellation_rate": 0.0, "return_rate": None, "new_customers": 1, "returning_customers": 0}
    steps = {"placed": 1, "paid": 1, "shipped": 1, "delivered": 0, "cancelled": 0, "returned": 0}
    steps["median_seconds"] = {"paid": 4.5, "shipped": 60.0, "delivered": None}
    month = {"month": "2026-11", "customers": 1, "orders": 1, "revenue": revenue}
    finding = {"id": ID, "kind": "unusual", "metric": "orders", "key": None, "start": at, "expected": 9.5, "actual": 1.0}
    return {
        ("GET", "/live"): live,
        ("GET", "/stream"): [b"event: live\nid: 7\ndata: {}\n\n", b""],
        ("GET", "/summary"): {"items": [few | {"start": at, "key": None, "cancelled": 0, "returned": 0}]},
        ("GET", "/top-products"): {"items": [sold]},
        ("GET", "/overview"): few | shares,
        ("GET", "/funnel"): steps,
        ("GET", "/cohorts"): {"items": [{"cohort": "2026-11", "customers": 1, "months": [month]}]},
        ("GET", "/top-customers"): {"items": [few | {"user_id": str(ADA)}]},
        ("GET", "/findings"): {"items": [finding | {"message": "few orders", "created_at": at}]},
    }
