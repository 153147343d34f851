"""The `Idempotency-Key` header, and claiming a key for changes outside the order service. Answers are kept by the services."""

import hashlib
import re
from typing import Any, Final, Literal

import orjson
from aiohttp import web

from soms.errors import InvalidArgument
from soms.rpc.gen.soms import v1
from soms.web.routes import Request

KEY: Final = re.compile(r"[!-~]{1,255}")


def key(request: web.Request, need: Literal["honoured", "required"] | None) -> str:
    """The key of the request, empty for none; raises InvalidArgument where it is not fit to be one, or missing but required."""
    sent = request.headers.getall("Idempotency-Key", []) if need else []
    if not sent and need == "required":
        raise InvalidArgument("send an Idempotency-Key: it makes a repetition safe", reason="idempotency_key_required")
    if sent and (len(sent) > 1 or not KEY.fullmatch(sent[0])):
        raise InvalidArgument("Idempotency-Key: 1 to 255 visible ASCII characters, once", reason="idempotency_key_invalid")
    return sent[0] if sent else ""


async def claim(request: Request[Any]) -> str:
    """The key of the request, which from now on stands for this route and body alone; raises InvalidArgument (`idempotency_mismatch`).

    Keys live with the orders. A service elsewhere keeps its own answers under a key, and this keeps the two from serving one key twice.
    """
    if request.key:
        canonical = orjson.dumps(request.input, option=orjson.OPT_SORT_KEYS)
        fingerprint = hashlib.sha256(request.target.encode() + b"\n" + canonical).digest()
        await request.services.orders.claim_key(v1.ClaimKeyRequest(idempotency_key=request.key, fingerprint=fingerprint))
    return request.key
