"""Signed tokens (JWT) that stand for a session on the API.

A token names its user, its kind and the hash of its session, so that the end of the session ends
the token too. Only the configured algorithm is accepted, and every claim is required. Nothing here
looks at accounts or at the wall clock.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

ISSUER = "lts"
AUDIENCE = "lts-api"
LONGEST_TOKEN = 4096
# A key shorter than the hash would be easier to guess than the signature (RFC 7518, 3.2).
KEY_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}


class TokenKind(StrEnum):
    """What a token is for; one kind is never accepted as the other."""

    ACCESS = "access"
    REFRESH = "refresh"


class TokenRefused(Exception):
    """The token is not valid; the caller answers 401 with this message."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a valid token says."""

    user_id: int
    session_hash: str
    expires_at: datetime


class TokenSigner:
    """Issue and read tokens with one key."""

    def __init__(self, secret: str, algorithm: str) -> None:
        """Take the key; ValueError for an unknown algorithm or a key too short for it.

        Without a secret a random key is used, and the tokens end with this object.
        """
        needed = KEY_BYTES.get(algorithm)
        if needed is None:
            raise ValueError(f"jwt_algorithm must be one of {', '.join(KEY_BYTES)}")
        key = secret.encode() or secrets.token_bytes(needed)
        if len(key) < needed:
            raise ValueError(f"jwt_secret must have at least {needed} bytes for {algorithm}")
        self._key = OctKey.import_key(key)
        self._algorithm = algorithm

    def issue(self, kind: TokenKind, claims: TokenClaims, now: datetime) -> str:
        """Return a signed token."""
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "typ": kind.value,
            "sub": str(claims.user_id),
            "sid": claims.session_hash,
            "jti": secrets.token_urlsafe(16),
            "iat": int(now.timestamp()),
            "exp": int(claims.expires_at.timestamp()),
        }
        return jwt.encode({"alg": self._algorithm}, payload, self._key, [self._algorithm])

    def read(self, token: str, kind: TokenKind, now: datetime) -> TokenClaims:
        """Return what a token of this kind says; TokenRefused if it is not valid at `now`."""
        if len(token) > LONGEST_TOKEN:
            raise TokenRefused("The token is not valid.")
        required = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            typ={"essential": True, "value": kind.value},
            sub={"essential": True},
            sid={"essential": True},
            jti={"essential": True},
            iat={"essential": True},
            exp={"essential": True},
        )
        try:
            claims = jwt.decode(token, self._key, [self._algorithm]).claims
            required.validate(claims)
            return TokenClaims(
                user_id=int(claims["sub"]),
                session_hash=str(claims["sid"]),
                expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            )
        except (JoseError, ValueError, OverflowError) as error:
            raise TokenRefused("The token is not valid, or no longer.") from error
