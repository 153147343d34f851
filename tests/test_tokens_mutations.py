"""Token mutations of reliability.md §2, each of which must be refused."""

import json
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from soms.config import Settings
from soms.errors import Unauthenticated
from soms.tokens import Signer, Verifier, service_token

USER = UUID("01890000-0000-7000-8000-000000000001")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with an empty state folder."""
    return Settings(home=tmp_path)


class Forge:
    """Makes tokens like ours with something changed; it holds our keys, so only the change is wrong."""

    def __init__(self, settings: Settings) -> None:
        self.good = Signer(settings).access_token(USER, ["customer"], "a@example.com")
        self.service = service_token(settings, "product")
        key = load_pem_private_key(settings.secret("token-key").encode(), None)
        assert isinstance(key, Ed25519PrivateKey)
        self.key = key
        self.service_key = settings.secret("service-key")
        self.public = json.loads(settings.secret_path("jwks.json").read_text())["keys"][0]
        self.claims: dict[str, Any] = jwt.decode(self.good, options={"verify_signature": False})
        self.header = jwt.get_unverified_header(self.good)

    def sign(self, header: dict[str, Any] | None = None, without: tuple[str, ...] = (), **claims: Any) -> str:
        """Our own signature over changed claims and header, put together by hand so that nothing is corrected."""
        kept = {name: value for name, value in {**self.claims, **claims}.items() if name not in without}
        signing = f"{b64(json.dumps({**self.header, **(header or {})}).encode())}.{b64(json.dumps(kept).encode())}"
        return f"{signing}.{b64(self.key.sign(signing.encode()))}"

    def hmac(self, secret: bytes, **header: Any) -> str:
        """The access claims under HMAC with `secret`."""
        signing = f"{b64(json.dumps({**self.header, 'alg': 'HS256', **header}).encode())}.{b64(json.dumps(self.claims).encode())}"
        signer = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        return f"{signing}.{b64(signer.sign(signing.encode(), secret))}"

    def part(self, index: int, change: Callable[[bytes], bytes]) -> str:
        """The good token with the bytes of one of its three parts changed."""
        parts = self.good.split(".")
        parts[index] = b64(change(urlsafe_b64decode(parts[index] + "==")))
        return ".".join(parts)

    def unsigned(self, algorithm: str) -> str:
        """The good claims under an empty signature."""
        return f"{b64(json.dumps({**self.header, 'alg': algorithm}).encode())}.{self.good.split('.')[1]}."


def b64(data: bytes) -> str:
    """Unpadded base64url, as JOSE wants it."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def flip(position: int) -> Callable[[bytes], bytes]:
    """Turn one bit of the byte at `position`."""
    return lambda data: bytes([*data[:position], data[position] ^ 1, *data[position + 1 :]])


def stranger() -> Ed25519PrivateKey:
    """A key of somebody else."""
    return Ed25519PrivateKey.generate()


def now() -> int:
    """The time of the test, which may run long after it was collected."""
    return int(time.time())


MUTATIONS: dict[str, Callable[[Forge], str]] = {
    "empty": lambda _: "",
    "no dots": lambda _: "token",
    "two parts": lambda f: f.good.rsplit(".", 1)[0],
    "empty signature": lambda f: f.good.rsplit(".", 1)[0] + ".",
    "four parts": lambda f: f.good + ".x",
    "space before": lambda f: " " + f.good,
    "newline after": lambda f: f.good + "\n",
    "padding after": lambda f: f.good + "=",
    "not base64": lambda f: f.good[:-2] + "!!",
    "not ascii": lambda f: f.good[:-1] + "é",
    "lone surrogate": lambda f: f.good[:-1] + "\ud800",
    "100 KB": lambda f: f.sign(email="a" * 100_000),
    "just too long": lambda f: f.sign(email="a" * 8192),
    "alg none": lambda f: f.unsigned("none"),
    "alg NONE": lambda f: f.unsigned("NONE"),
    "alg none, kept signature": lambda f: f.sign({"alg": "none"}),
    "alg missing": lambda f: f.sign({"alg": None}),
    "alg list": lambda f: f.sign({"alg": ["EdDSA"]}),
    "alg ES256": lambda f: f.sign({"alg": "ES256"}),
    "HS256 keyed with the public key": lambda f: f.hmac(urlsafe_b64decode(f.public["x"] + "==")),
    "HS256 keyed with the public key's text": lambda f: f.hmac(f.public["x"].encode()),
    "HS256 keyed with the key set": lambda f: f.hmac(json.dumps({"keys": [f.public]}).encode()),
    "HS256 keyed with nothing": lambda f: f.hmac(b""),
    "HS256 with the service key": lambda f: f.hmac(f.service_key.encode()),
    "service type, HS256 with the public key": lambda f: f.hmac(f.public["x"].encode(), typ="svc+jwt"),
    "service type, EdDSA": lambda f: f.sign({"typ": "svc+jwt"}),
    "unknown kid": lambda f: f.sign({"kid": "other"}),
    "kid as path": lambda f: f.sign({"kid": "../token-key"}),
    "kid null": lambda f: f.sign({"kid": None}),
    "kid list": lambda f: f.sign({"kid": [f.public["kid"]]}),
    "jku": lambda f: f.sign({"jku": "http://127.0.0.1/jwks.json"}),
    "x5u": lambda f: f.sign({"x5u": "http://127.0.0.1/x"}),
    "x5c": lambda f: f.sign({"x5c": []}),
    "own jwk": lambda f: f.sign({"jwk": f.public}),
    "unknown crit": lambda f: f.sign({"crit": ["exp"]}),
    "empty crit": lambda f: f.sign({"crit": []}),
    "b64 false": lambda f: f.sign({"b64": False, "crit": ["b64"]}),
    "b64 true": lambda f: f.sign({"b64": True}),
    "typ JWT": lambda f: f.sign({"typ": "JWT"}),
    "typ of a refresh token": lambda f: f.sign({"typ": "rt+jwt"}),
    "typ null": lambda f: f.sign({"typ": None}),
    "ID token": lambda f: f.sign({"typ": "JWT"}, aud="web", nonce="n"),
    "opaque refresh token": lambda _: b64(os.urandom(32)),
    "no exp": lambda f: f.sign(without=("exp",)),
    "exp string": lambda f: f.sign(exp=str(now() + 300)),
    "exp float": lambda f: f.sign(exp=now() + 300.5),
    "exp true": lambda f: f.sign(exp=True),
    "exp null": lambda f: f.sign(exp=None),
    "exp infinity": lambda f: f.sign(exp=float("inf")),
    "exp far away": lambda f: f.sign(exp=now() + 10**9),
    "exp of 4,000 digits": lambda f: f.sign(exp=10**4000),
    "expired a second ago": lambda f: f.sign(iat=now() - 600, exp=now() - 1),
    "expires now": lambda f: f.sign(iat=now() - 600, exp=now()),
    "nbf in the future": lambda f: f.sign(nbf=now() + 300),
    "nbf string": lambda f: f.sign(nbf="soon"),
    "no iat": lambda f: f.sign(without=("iat",)),
    "iat string": lambda f: f.sign(iat=str(now())),
    "no iss": lambda f: f.sign(without=("iss",)),
    "other iss": lambda f: f.sign(iss="https://example.com"),
    "iss list": lambda f: f.sign(iss=["soms"]),
    "no aud": lambda f: f.sign(without=("aud",)),
    "other aud": lambda f: f.sign(aud="soms-services"),
    "aud list": lambda f: f.sign(aud=["soms", "other"]),
    "no sub": lambda f: f.sign(without=("sub",)),
    "sub no UUID": lambda f: f.sign(sub="admin"),
    "sub number": lambda f: f.sign(sub=1),
    "no jti": lambda f: f.sign(without=("jti",)),
    "no roles": lambda f: f.sign(without=("roles",)),
    "roles null": lambda f: f.sign(roles=None),
    "bit of the header": lambda f: f.part(0, flip(8)),
    "bit of the claims": lambda f: f.part(1, flip(20)),
    "first bit of the signature": lambda f: f.part(2, flip(0)),
    "last bit of the signature": lambda f: f.part(2, flip(63)),
    "short signature": lambda f: f.part(2, lambda data: data[:-1]),
    "zero signature": lambda f: f.part(2, lambda data: bytes(len(data))),
    "claims no object": lambda f: jwt.api_jws.encode(b"[]", f.key, "EdDSA", {"typ": "at+jwt", "kid": f.public["kid"]}),
    "5,000 nested lists": lambda f: jwt.api_jws.encode(b"[" * 5000, f.key, "EdDSA", {"typ": "at+jwt", "kid": f.public["kid"]}),
    "stranger's key": lambda f: jwt.encode(f.claims, stranger(), "EdDSA", {"typ": "at+jwt", "kid": f.public["kid"]}),
    "service token as a user's": lambda f: f.service,
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_token_is_refused(settings: Settings, name: str) -> None:
    """Each mutation is refused with one identical error, also after the good token has been seen."""
    forge, verifier = Forge(settings), Verifier(settings)
    assert verifier.verify(forge.good).user_id == USER

    with pytest.raises(Unauthenticated) as refused:
        verifier.verify(MUTATIONS[name](forge))
    seen = refused.value.reason, refused.value.message, refused.value.details
    assert seen == ("unauthenticated", "a valid access token is required", {})


def test_forge_itself_makes_good_tokens(settings: Settings) -> None:
    """The unchanged forgery verifies: the mutations above fail through their change alone."""
    forge = Forge(settings)

    assert Verifier(settings).verify(forge.sign()).user_id == USER


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name != "service token as a user's"])
def test_mutated_token_is_no_service_either(settings: Settings, name: str) -> None:
    """Where services are welcome, the mutations stay refused: no algorithm or key crosses over."""
    with pytest.raises(Unauthenticated):
        Verifier(settings).verify(MUTATIONS[name](Forge(settings)), services=True)


def test_every_changed_character_is_refused(settings: Settings) -> None:
    """No character of a token may be another one."""
    forge, verifier = Forge(settings), Verifier(settings)
    for position, character in enumerate(forge.good):
        other = "A" if character != "A" else "B"
        with pytest.raises(Unauthenticated):
            verifier.verify(forge.good[:position] + other + forge.good[position + 1 :])


@pytest.mark.parametrize(
    "name", ["jku", "own jwk", "typ JWT", "exp string", "exp far away", "aud list", "no jti", "no roles", "service type, EdDSA"]
)
def test_plain_decoding_would_accept_it(settings: Settings, name: str) -> None:
    """The broken twin, a decode that checks signature, issuer and audience alone, takes these for good."""
    forge = Forge(settings)

    assert jwt.decode(MUTATIONS[name](forge), forge.key.public_key(), ["EdDSA"], issuer="soms", audience="soms")
