"""How somebody wants to hear from us."""

from typing import Final, NotRequired

from typing_extensions import TypedDict

from soms.rpc.gen.soms import v1
from soms.values import ClockTime, Locale, TimeZone
from soms.web.auth import Access
from soms.web.routes import Answer, Request, route
from soms.web.shapes import given, shape

EXAMPLE: Final = {
    "email": {"orders": True, "news": False},
    "sms": {"orders": False, "news": False},
    "quiet_hours": {"from": "22:00", "to": "07:00"},
    "time_zone": "Europe/London",
    "locale": "en-GB",
}


@shape()
class Channel(TypedDict):
    """What one channel may carry."""

    orders: bool
    news: bool


# `from` is a keyword of Python
QuietHours = TypedDict("QuietHours", {"from": ClockTime, "to": ClockTime})
shape()(QuietHours)


@shape(EXAMPLE)
class Preferences(TypedDict):
    """All of them: PUT replaces the whole. In quiet hours (local time, may span midnight) nothing is sent."""

    email: Channel
    sms: Channel
    quiet_hours: NotRequired[QuietHours | None]
    time_zone: TimeZone
    locale: Locale


@route("GET", "/users/me/preferences", Access.CUSTOMER, tagged=True)
async def show_preferences(request: Request[None]) -> Answer[Preferences]:
    """One's own preferences."""
    return _preferences((await request.services.users.get_preferences(v1.GetPreferencesRequest())).preferences)


@route("PUT", "/users/me/preferences", Access.CUSTOMER, tagged=True)
async def set_preferences(request: Request[Preferences]) -> Answer[Preferences]:
    """Set one's own preferences as a whole."""
    asked = request.input
    quiet = asked.get("quiet_hours")
    wanted = v1.Preferences(
        email=v1.ChannelPreferences(**asked["email"]),
        sms=v1.ChannelPreferences(**asked["sms"]),
        quiet_hours=v1.QuietHours(from_=quiet["from"], to=quiet["to"]) if quiet else None,
        time_zone=asked["time_zone"],
        locale=asked["locale"],
    )
    message = v1.SetPreferencesRequest(preferences=wanted, if_version=request.if_version)
    return _preferences((await request.services.users.set_preferences(message)).preferences)


def _preferences(message: v1.Preferences | None) -> Answer[Preferences]:
    found = given(message)
    quiet = found.quiet_hours
    body = Preferences(
        email=_channel(found.email),
        sms=_channel(found.sms),
        quiet_hours={"from": quiet.from_, "to": quiet.to} if quiet else None,
        time_zone=found.time_zone,
        locale=found.locale,
    )
    return Answer(body, found.version)


def _channel(message: v1.ChannelPreferences | None) -> Channel:
    channel = given(message)
    return Channel(orders=channel.orders, news=channel.news)


ROUTES: Final = (show_preferences, set_preferences)
