"""Access tokens of people (RFC 9068, EdDSA) and short-lived tokens of services (HS256): signing and verifying.

Knows claims, keys and their files; not who may do what, nor how a token travels.
"""

import hashlib
import json
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from soms.config import Settings
from soms.errors import Unauthenticated

ISSUER: Final = "soms"
SIZE_LIMIT_BYTES: Final = 8 * 1024
VERIFIED_LIMIT: Final = 4096
SHAPE: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
PEM: Final = re.compile(r"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sort:
    """What one sort of token must look like; nothing inside a token chooses among these values (RFC 8725 §3.1, §3.11)."""

    type: str
    algorithm: str
    audience: str
    header: frozenset[str]
    lifetime_seconds: int


ACCESS: Final = Sort("at+jwt", "EdDSA", "soms", frozenset({"alg", "typ", "kid"}), 600)
SERVICE: Final = Sort("svc+jwt", "HS256", "soms-services", frozenset({"alg", "typ"}), 60)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling: a person (`user_id`, `roles`, `email`) or one of our services (`service` alone)."""

    user_id: UUID | None = None
    roles: frozenset[str] = frozenset()
    email: str | None = None
    service: str | None = None


class Signer:
    """Signs access tokens; only the user service holds one.

    The secret `token-key` is a PEM file with one or more Ed25519 keys, made on first use. To rotate, put a new key first
    and restart: the first signs, all stand in `jwks.json` beside it, from which every process verifies.
    """

    def __init__(self, settings: Settings) -> None:
        """Load or make the keys and publish their public parts."""
        pem = settings.secret("token-key", _new_key)
        keys = [_private_key(block) for block in PEM.findall(pem)]
        self.jwks: dict[str, Any] = {"keys": [_public_jwk(key) for key in keys]}
        self._key, self._kid = keys[0], self.jwks["keys"][0]["kid"]
        _publish(settings, json.dumps(self.jwks, indent=1))

    def access_token(self, user_id: UUID, roles: Iterable[str], email: str | None = None) -> str:
        """A token that says for `ACCESS.lifetime_seconds` who the user is and what roles they hold."""
        claims = {"sub": str(user_id), "roles": sorted(roles), "email": email}
        return jwt.encode(_stamped(claims, ACCESS), self._key, ACCESS.algorithm, {"typ": ACCESS.type, "kid": self._kid})


class Verifier:
    """Verifies tokens with the published keys; one per process.

    A token once verified costs a look-up until it expires, also when its key has been withdrawn since.
    """

    def __init__(self, settings: Settings) -> None:
        """Read nothing yet: keys may be published later than this process starts."""
        self._settings = settings
        self._verified: dict[str, tuple[int, Identity]] = {}
        self._stamp: tuple[int, int] | None = None
        self._jwks: dict[str, Any] = {"keys": []}
        self._keys: dict[str, jwt.PyJWK] = {}

    def verify(self, token: str, *, services: bool = False) -> Identity:
        """Who holds `token`; tokens of services count only where `services` are welcome.

        Raises Unauthenticated with one and the same message whatever is wrong.
        """
        expires, identity = self._verified.get(token) or self._examine(token)
        if expires <= time.time() or (identity.service and not services):
            raise _refusal()
        return identity

    def jwks(self) -> dict[str, Any]:
        """The published key set (RFC 7517), read again where its file has changed; empty while there is none."""
        path = self._settings.secret_path("jwks.json")
        try:
            status = path.stat()
        except FileNotFoundError:
            return self._jwks
        if self._stamp != (stamp := (status.st_ino, status.st_mtime_ns)):
            self._jwks = json.loads(path.read_text())
            self._keys = {key["kid"]: jwt.PyJWK(key, ACCESS.algorithm) for key in self._jwks["keys"]}
            self._stamp = stamp
        return self._jwks

    def _examine(self, token: str) -> tuple[int, Identity]:
        if len(token) > SIZE_LIMIT_BYTES or not SHAPE.fullmatch(token):
            raise _refusal()
        try:
            header = jwt.get_unverified_header(token)
            sort = SERVICE if header.get("typ") == SERVICE.type else ACCESS
            claims = _claims(token, header, sort, self._key(header, sort))
            found = claims["exp"], _identity(claims, sort)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            raise _refusal() from None
        while len(self._verified) >= VERIFIED_LIMIT:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = found
        return found

    def _key(self, header: dict[str, Any], sort: Sort) -> jwt.PyJWK | str:
        if sort is SERVICE:
            return self._settings.secret("service-key")
        self.jwks()
        return self._keys[header["kid"]]


def service_token(settings: Settings, service: str) -> str:
    """A token that proves for 30 to 60 s that the caller is `service` of this system."""
    return _service_token(settings, service, int(time.time() // (SERVICE.lifetime_seconds / 2)))


@lru_cache(maxsize=16)
def _service_token(settings: Settings, service: str, _period: int) -> str:
    claims = _stamped({"sub": service}, SERVICE)
    return jwt.encode(claims, settings.secret("service-key"), SERVICE.algorithm, {"typ": SERVICE.type})


def _stamped(claims: dict[str, Any], sort: Sort) -> dict[str, Any]:
    now = int(time.time())
    return claims | {"iss": ISSUER, "aud": sort.audience, "iat": now, "exp": now + sort.lifetime_seconds, "jti": str(uuid4())}


def _claims(token: str, header: dict[str, Any], sort: Sort, key: jwt.PyJWK | str) -> dict[str, Any]:
    if header.keys() != sort.header or header["typ"] != sort.type:
        raise ValueError(header)
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        [sort.algorithm],
        # a clock that is behind must not refuse fresh tokens: iat is bounded through exp below
        {"require": ["exp", "iat", "iss", "aud", "sub", "jti"], "strict_aud": True, "verify_iat": False},
        audience=sort.audience,
        issuer=ISSUER,
    )
    if type(claims["exp"]) is not int or type(claims["iat"]) is not int:
        raise TypeError(claims)
    if claims["exp"] > claims["iat"] + sort.lifetime_seconds:
        raise ValueError(claims)
    return claims


def _identity(claims: dict[str, Any], sort: Sort) -> Identity:
    if sort is SERVICE:
        return Identity(service=claims["sub"])
    return Identity(UUID(claims["sub"]), frozenset(claims["roles"]), claims["email"])


def _refusal() -> Unauthenticated:
    return Unauthenticated("a valid access token is required")


def _new_key() -> str:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _private_key(pem: str) -> Ed25519PrivateKey:
    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError("the secret token-key must hold Ed25519 keys")
    return key


def _public_jwk(key: Ed25519PrivateKey) -> dict[str, Any]:
    """The public part as RFC 8037 says, named by its RFC 7638 thumbprint."""
    public = dict(OKPAlgorithm.to_jwk(key.public_key(), as_dict=True))
    canonical = json.dumps({name: public[name] for name in ("crv", "kty", "x")}, separators=(",", ":"))
    thumbprint = urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
    return public | {"kid": thumbprint, "alg": ACCESS.algorithm, "use": "sig"}


def _publish(settings: Settings, jwks: str) -> None:
    """Put `jwks.json` in place in one step: a reader sees the old or the new one, never half of it. One that is right may be read-only."""
    path = settings.secret_path("jwks.json")
    if path.exists() and path.read_text() == jwks:
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    draft.write_text(jwks)
    draft.replace(path)
