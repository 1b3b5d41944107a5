"""Bearer tokens: which are taken, and what they say of their bearer. Not: fetching keys, and what a role allows.

A token is taken if it is a JWS in compact form, signed with a key that the issuer publishes and with an algorithm that fits the key;
from that issuer, for one of our audiences, and within its times. What it says of its own key (``jwk``, ``jku``, ``x5c``) is not looked at.

References
----------
RFC 7519 "JSON Web Token"; RFC 8725 "JWT Best Current Practices"; RFC 9068 "JWT Profile for OAuth 2.0 Access Tokens"; RFC 6750 "Bearer
Token Usage".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from shared.errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Sequence

Claims: TypeAlias = Mapping[str, Any]

LEEWAY_SECONDS: Final = 60
"""How far the issuer's clock and ours may be apart."""
MAX_TOKEN_CHARACTERS: Final = 16 * 1024

_AUTHORIZATION = re.compile(r"bearer +([\w-]+\.[\w-]+\.[\w-]+) *", re.ASCII | re.IGNORECASE)
_TYPES = {"jwt", "at+jwt"}
_CLIENT_CLAIMS = ("azp", "appid", "client_id", "cid")
_LABEL_CLAIMS = ("preferred_username", "upn", "unique_name")
_ID_TOKEN_CLAIMS = {"at_hash", "c_hash"}
_LONGEST_LABEL = 256

_INVALID = "The token is not valid."
_REASONS: Final = {
    "ExpiredSignatureError": "The token has expired.",
    "ImmatureSignatureError": "The token is not valid yet.",
    "InvalidAudienceError": "The token was issued for another audience.",
    "InvalidIssuerError": "The token is from another issuer.",
}
"""Class of PyJWT's error → what the caller is told."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key of the issuer, and the algorithms that fit it."""

    key: Any
    algorithms: Sequence[str]


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """What an issuer publishes: its name, as tokens have it, and its keys by their ids."""

    issuer: str
    keys: Mapping[str, SigningKey]


class KeySource(Protocol):
    """Gives the issuer's keys."""

    async def current(self, key_id: str) -> IssuerKeys:
        """Give the keys; newly fetched ones, within limits, where none has this id.

        Raises
        ------
        Busy
            There are none to be had.
        """
        ...


def bearer_token(authorization: str | None) -> str:
    """Take the token out of the header ``Authorization``; several such headers, or credentials in one, are none.

    Raises
    ------
    Unauthorized
        There is none, or it has not the form of a token.
    """
    if authorization is None:
        raise Unauthorized("A bearer token is needed, in the header Authorization.")
    match = _AUTHORIZATION.fullmatch(authorization) if len(authorization) <= MAX_TOKEN_CHARACTERS else None
    if match is None:
        raise Unauthorized("The header Authorization must be Bearer, a blank and one token.")
    return match[1]


async def read_claims(token: str, audiences: Sequence[str], keys: KeySource) -> Claims:
    """Check a token; give what it says.

    Raises
    ------
    Unauthorized
        It is not taken.
    Busy
        There are no keys to check it with.
    """
    key_id = _key_id(token)
    published = await keys.current(key_id)
    signing_key = published.keys.get(key_id)
    if signing_key is None:
        raise Unauthorized("The token is signed with a key that the issuer does not publish.")
    claims = _verified(token, signing_key, published.issuer, audiences)
    if not _is_access_token(claims):
        raise Unauthorized("The token is no access token.")
    return claims


def _key_id(token: str) -> str:
    import jwt  # noqa: PLC0415 -- 0.1 s with cryptography, which a cold start need not wait for

    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise Unauthorized(_INVALID) from None
    key_id, kind = header.get("kid"), header.get("typ", "jwt")
    if not isinstance(key_id, str) or not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise Unauthorized(_INVALID)
    return key_id


def _verified(token: str, signing_key: SigningKey, issuer: str, audiences: Sequence[str]) -> Claims:
    import jwt  # noqa: PLC0415 -- as above

    try:
        return jwt.decode(
            token,
            signing_key.key,
            algorithms=signing_key.algorithms,
            audience=audiences,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except (jwt.PyJWTError, TypeError, ValueError) as error:  # the library's own, and what odd claims make of it
        raise Unauthorized(_REASONS.get(type(error).__name__, _INVALID)) from None


def _is_access_token(claims: Claims) -> bool:
    """Tell it from an ID token, which tells a client who its user is: that names no client beside its audience, or is marked."""
    marked = claims.keys() & _ID_TOKEN_CLAIMS or "ID" in (claims.get("typ"), str(claims.get("token_use", "")).upper())
    return not marked and bool(client_of(claims))


def client_of(claims: Claims) -> str:
    """Give the id of the client that the token was issued to; empty where it names none."""
    return _first(claims, _CLIENT_CLAIMS)


def subject_of(claims: Claims) -> str:
    """Give an id of the bearer that stays the same from token to token, and that nobody else has.

    Entra ID's subject differs from client to client; its object id, in a tenant, does not.
    """
    tenant, object_id, issuer = claims.get("tid"), claims.get("oid"), str(claims["iss"])
    if isinstance(tenant, str) and isinstance(object_id, str) and tenant and tenant in issuer:
        return f"{tenant}/{object_id}"
    return f"{issuer}#{claims['sub']}"


def label_of(claims: Claims) -> str:
    """Give what a person would call the bearer: the account's name, else the client's id."""
    return _first(claims, _LABEL_CLAIMS) or client_of(claims)


def roles_of(claims: Claims, claim: str) -> frozenset[str]:
    """Give the names in a claim, which is a list, or one text with blanks between the names, as scopes are."""
    value = claims.get(claim)
    names = value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else ()
    return frozenset(name for name in names if isinstance(name, str))


def _first(claims: Claims, names: Sequence[str]) -> str:
    values = (claims.get(name) for name in names)
    return next((v for v in values if isinstance(v, str) and v.isprintable() and 0 < len(v) <= _LONGEST_LABEL), "")
