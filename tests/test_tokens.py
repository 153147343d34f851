"""Tokens: who is named, for how long, and how keys change."""

import time
from pathlib import Path
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from soms import tokens
from soms.config import Settings
from soms.errors import Unauthenticated
from soms.tokens import Identity, Signer, Verifier, service_token

USER = UUID("01890000-0000-7000-8000-000000000001")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with an empty state folder."""
    return Settings(home=tmp_path)


def test_access_token_names_the_user(settings: Settings) -> None:
    """A signed token verifies to the very identity it was made for, in any process that reads the same folder."""
    token = Signer(settings).access_token(USER, {"customer", "staff"}, "a@example.com")

    assert Verifier(settings).verify(token) == Identity(USER, frozenset({"customer", "staff"}), "a@example.com")


def test_claims_and_header_are_those_of_rfc_9068(settings: Settings) -> None:
    """Type, algorithm and key name stand in the header; a lifetime of ten minutes in the claims."""
    token = Signer(settings).access_token(USER, ["customer"])
    claims = jwt.decode(token, options={"verify_signature": False})

    assert jwt.get_unverified_header(token) == {"typ": "at+jwt", "alg": "EdDSA", "kid": Verifier(settings).jwks()["keys"][0]["kid"]}
    assert claims["exp"] - claims["iat"] == 600
    assert claims["iss"] == claims["aud"] == "soms"


def test_remembered_token_expires(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token verified before is refused from its last second on, without leeway."""
    verifier = Verifier(settings)
    token = Signer(settings).access_token(USER, ["customer"])
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    verifier.verify(token)

    monkeypatch.setattr("soms.tokens.time.time", lambda: expires - 0.1)
    assert verifier.verify(token).user_id == USER
    monkeypatch.setattr("soms.tokens.time.time", lambda: float(expires))
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def test_memory_of_tokens_is_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier keeps the newest tokens only."""
    monkeypatch.setattr(tokens, "VERIFIED_LIMIT", 3)
    signer, verifier = Signer(settings), Verifier(settings)
    for _ in range(10):
        verifier.verify(signer.access_token(USER, ["customer"]))

    assert len(verifier._verified) == 3


def test_verifier_may_start_before_the_first_key(settings: Settings) -> None:
    """Without a key set nobody is known; once the user service publishes one, its tokens count."""
    verifier = Verifier(settings)
    assert verifier.jwks() == {"keys": []}
    with pytest.raises(Unauthenticated):
        verifier.verify("a.b.c")

    assert verifier.verify(Signer(settings).access_token(USER, ["customer"])).user_id == USER


def test_rotated_key_signs_and_the_old_one_still_verifies(settings: Settings) -> None:
    """A key put first in the file signs from the next start on; running verifiers learn it, old tokens stay good."""
    verifier = Verifier(settings)
    old = Signer(settings).access_token(USER, ["customer"])
    verifier.verify(old)
    path = settings.secret_path("token-key")
    fresh = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path.write_text(fresh + path.read_text())
    new = Signer(settings).access_token(USER, ["customer"])

    assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
    assert verifier.verify(new).user_id == Verifier(settings).verify(old).user_id == USER
    assert len(verifier.jwks()["keys"]) == 2


def test_withdrawn_key_verifies_nothing(settings: Settings) -> None:
    """A token of a key that no longer stands in the set is refused."""
    token = Signer(settings).access_token(USER, ["customer"])
    settings.secret_path("token-key").unlink()
    Signer(settings)

    with pytest.raises(Unauthenticated):
        Verifier(settings).verify(token)


def test_two_signers_share_one_key(settings: Settings) -> None:
    """A second user service signs with the key of the first, and the published set stays the same."""
    first, second = Signer(settings), Signer(settings)

    assert first.jwks == second.jwks == Verifier(settings).jwks()
    assert "d" not in first.jwks["keys"][0]


def test_secret_files_are_private(settings: Settings) -> None:
    """The private key can be read by its owner alone."""
    Signer(settings)

    assert settings.secret_path("token-key").stat().st_mode & 0o777 == 0o600


def test_service_token_names_the_service(settings: Settings) -> None:
    """Where services are welcome, a service's token gives its name and no user; the same token serves for half its life."""
    token = service_token(settings, "product")

    assert Verifier(settings).verify(token, services=True) == Identity(service="product")
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == "soms-services"


def test_service_token_is_renewed_before_it_expires(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any moment the token handed out is good for another 30 s and was not made for each call."""
    start = int(time.time()) // 30 * 30
    seen = set()
    for second in range(120):
        monkeypatch.setattr("soms.tokens.time.time", lambda second=second: float(start + second))
        token = service_token(settings, f"order-{start}")
        assert jwt.decode(token, options={"verify_signature": False})["exp"] > start + second + 30
        seen.add(token)

    assert len(seen) == 4


def test_user_token_counts_where_services_are_welcome(settings: Settings) -> None:
    """Services being welcome does not shut people out."""
    token = Signer(settings).access_token(USER, ["customer"])

    assert Verifier(settings).verify(token, services=True).service is None


def test_service_tokens_of_another_system_are_refused(settings: Settings, tmp_path: Path) -> None:
    """Another state folder has other keys."""
    other = Settings(home=tmp_path / "other")
    for token in (service_token(other, "product"), Signer(other).access_token(uuid4(), ["admin"])):
        with pytest.raises(Unauthenticated):
            Verifier(settings).verify(token, services=True)
