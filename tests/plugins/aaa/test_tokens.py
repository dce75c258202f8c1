"""Tokens: signed, of one kind, for one audience, for a while."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from lts_web.plugins.aaa.tokens import TokenClaims, TokenKind, TokenRefused, TokenSigner
from tests.plugins.aaa.accounts_ports import NOW

SECRET = "a secret of at least thirty-two bytes"
SIGNER = TokenSigner(SECRET, "HS256")
CLAIMS = TokenClaims(7, "ab" * 32, NOW + timedelta(minutes=30))
PAYLOAD = {
    "iss": "lts", "aud": "lts-api", "typ": "access", "sub": "7", "sid": "ab", "jti": "1",
    "iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 60,
}  # fmt: skip


def forged(payload: dict[str, Any], secret: str = SECRET, **header: Any) -> str:
    key = OctKey.import_key(secret.encode())
    algorithm = header.pop("alg", "HS256")
    return jwt.encode({"alg": algorithm, **header}, payload, key, [algorithm])


def refuses(token: str, kind: TokenKind = TokenKind.ACCESS, **later: float) -> bool:
    try:
        SIGNER.read(token, kind, NOW + timedelta(**later))
    except TokenRefused:
        return True
    return False


@pytest.mark.req("PLG-AAA", "INT-011")
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_what_was_issued_is_read_back(algorithm: str) -> None:
    signer = TokenSigner(SECRET * 2, algorithm)
    token = signer.issue(TokenKind.ACCESS, CLAIMS, NOW)
    assert signer.read(token, TokenKind.ACCESS, NOW) == CLAIMS


@pytest.mark.req("SYS-010")
def test_a_token_ends_and_is_of_one_kind() -> None:
    token = SIGNER.issue(TokenKind.ACCESS, CLAIMS, NOW)
    assert not refuses(token, minutes=29, seconds=59)
    assert refuses(token, minutes=30)
    assert refuses(token, TokenKind.REFRESH)
    assert refuses(SIGNER.issue(TokenKind.REFRESH, CLAIMS, NOW))


@pytest.mark.req("SYS-010")
@pytest.mark.parametrize("name", sorted(PAYLOAD))
def test_no_claim_may_be_missing(name: str) -> None:
    assert not refuses(forged(PAYLOAD))
    assert refuses(forged({key: value for key, value in PAYLOAD.items() if key != name}))


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "other"}, {"aud": "other"}, {"typ": "refresh"}, {"sub": "seven"}, {"sub": 7},
        {"exp": "soon"}, {"exp": True}, {"exp": 10**30}, {"iat": int(NOW.timestamp()) + 60},
    ],
)  # fmt: skip
def test_wrong_claims_are_refused(change: dict[str, Any]) -> None:
    assert refuses(forged(PAYLOAD | change))


def unsigned(algorithm: str) -> str:
    parts = [{"alg": algorithm, "typ": "JWT"}, PAYLOAD]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return b".".join(part.rstrip(b"=") for part in encoded).decode() + "."


@pytest.mark.req("SYS-010")
@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "HS256", "RS256"])
def test_unsigned_tokens_are_refused(algorithm: str) -> None:
    assert refuses(unsigned(algorithm))


def test_other_keys_and_algorithms_are_refused() -> None:
    assert refuses(forged(PAYLOAD, "another secret of thirty-two bytes."))
    assert refuses(forged(PAYLOAD, SECRET * 2, alg="HS384"))
    assert refuses(forged(PAYLOAD) + "a" * 5000)


@given(st.data())
def test_a_changed_character_is_refused(data: st.DataObject) -> None:
    token = SIGNER.issue(TokenKind.ACCESS, CLAIMS, NOW)
    # The last character of a part may carry bits that no one reads; leave those out.
    ends = {index - 1 for index, character in enumerate(token) if character == "."}
    places = set(range(len(token) - 1)) - ends
    place = data.draw(st.sampled_from(sorted(places)))
    other = data.draw(st.sampled_from("abcXYZ019-_.é\0 "))
    changed = token[:place] + other + token[place + 1 :]
    assert refuses(changed) == (changed != token)


@given(st.text(max_size=200))
def test_rubbish_is_refused_and_nothing_else_raised(text: str) -> None:
    assert refuses(text)


@pytest.mark.req("SYS-010")
@pytest.mark.parametrize(("secret", "algorithm"), [("x" * 31, "HS256"), ("x" * 47, "HS384")])
def test_a_short_secret_is_refused_without_being_shown(secret: str, algorithm: str) -> None:
    with pytest.raises(ValueError, match="at least") as refused:
        TokenSigner(secret, algorithm)
    assert secret not in str(refused.value)


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="jwt_algorithm"):
        TokenSigner(SECRET, "none")


def test_without_a_secret_every_signer_has_its_own() -> None:
    token = TokenSigner("", "HS256").issue(TokenKind.ACCESS, CLAIMS, NOW)
    with pytest.raises(TokenRefused):
        TokenSigner("", "HS256").read(token, TokenKind.ACCESS, NOW)
