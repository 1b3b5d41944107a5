"""What an OpenID issuer publishes: its configuration and its keys, fetched once. Blocks: for threads.

The answers come over TLS from the host that the operator named, and are still read with care: bounded in time and size, redirects
not followed, keys left out that are secret, too short, for another use, or of another tenant.

References
----------
OpenID Connect Discovery 1.0, 4 "Obtaining OpenID Provider Configuration Information"; RFC 7517 "JSON Web Key".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson
import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWTError
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from urllib3.exceptions import HTTPError

from shared.adapters.bounded_http import open_session, time_limit
from shared.errors import Busy
from shared.tokens import IssuerKeys, SigningKey

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATH: Final = "/.well-known/openid-configuration"
_TOTAL_SECONDS, _RECEIVE_SECONDS, _CONNECT_SECONDS = 8.0, 4.0, 4.0
LARGEST_DOCUMENT_BYTES: Final = 1024 * 1024
_PIECE_BYTES = 64 * 1024

_SMALLEST_RSA_BITS: Final = 2048
_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC_ALGORITHMS: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def fetch_keys(authority: str) -> IssuerKeys:
    """Fetch the issuer's configuration, and the keys that it names.

    Raises
    ------
    Busy
        There is no answer, or one that is of no use; the message says which, without its text.
    """
    try:
        with open_session(1) as session, time_limit(_TOTAL_SECONDS, _RECEIVE_SECONDS):
            issuer, keys_url = _read_configuration(_get(session, authority + _PATH), authority)
            return IssuerKeys(issuer, _read_keys(_get(session, keys_url), issuer))
    except (OSError, HTTPError) as error:  # those of requests are OSErrors; some of urllib3's pass through it
        raise Busy(f"the issuer gave no whole answer ({type(error).__name__})") from None


def _get(session: requests.Session, url: str) -> dict[str, Any]:
    with session.get(
        url, headers={"Accept": "application/json"}, timeout=(_CONNECT_SECONDS, _RECEIVE_SECONDS), stream=True, allow_redirects=False
    ) as response:
        if response.status_code != requests.codes.ok:
            raise Busy(f"the issuer answered {response.status_code}")
        body = b""
        for piece in response.iter_content(_PIECE_BYTES):
            body += piece
            if len(body) > LARGEST_DOCUMENT_BYTES:
                raise Busy("the issuer's answer is too large")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise Busy("the issuer's answer is no JSON object")
    return document


def _read_configuration(document: dict[str, Any], authority: str) -> tuple[str, str]:
    """Give the issuer's name, and where its keys are.

    The name need not be the URL asked: Entra ID's older one is not. Nobody else is let in by that, since the keys are that URL's.
    """
    issuer, keys_url = document.get("issuer"), document.get("jwks_uri")
    if not isinstance(issuer, str) or not issuer or "{" in issuer:
        raise Busy("its configuration names no single issuer; AUTHORITY must name one tenant, not common or organizations")
    if not isinstance(keys_url, str) or not keys_url.startswith(("https://", authority.partition("//")[0] + "//")):
        raise Busy("its configuration names no https address of keys")
    return issuer, keys_url


def _read_keys(document: dict[str, Any], issuer: str) -> dict[str, SigningKey]:
    listed = document.get("keys")
    keys = {jwk["kid"]: key for jwk in listed if (key := _read_key(jwk, issuer))} if isinstance(listed, list) else {}
    if not keys:
        raise Busy("the issuer publishes no key of use")
    return keys


def _read_key(jwk: Any, issuer: str) -> SigningKey | None:
    """Give a key; None for one that is none of ours, or that we do not use."""
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or "d" in jwk or jwk.get("use", "sig") != "sig":
        return None
    if not _is_of_tenant(jwk.get("issuer"), issuer):
        return None
    try:
        key, fitting = _public_key(jwk)
    except (PyJWTError, ValueError, TypeError):
        return None
    algorithms = [name for name in fitting if jwk.get("alg", name) == name]
    return SigningKey(key, algorithms) if algorithms else None


def _public_key(jwk: dict[str, Any]) -> tuple[Any, Sequence[str]]:
    """Give a key and the algorithms that its type admits; none for a type or size that we do not take."""
    if jwk.get("kty") == "RSA":
        key = RSAAlgorithm.from_jwk(jwk)
        return key, _RSA_ALGORITHMS if isinstance(key, RSAPublicKey) and key.key_size >= _SMALLEST_RSA_BITS else ()
    if jwk.get("kty") == "EC" and jwk.get("crv") in _EC_ALGORITHMS:
        return ECAlgorithm.from_jwk(jwk), (_EC_ALGORITHMS[jwk["crv"]],)
    return None, ()


def _is_of_tenant(key_issuer: object, issuer: str) -> bool:
    """Tell whether a key may sign for the issuer: Entra ID lists keys of other tenants too, and says so at each."""
    return key_issuer is None or (isinstance(key_issuer, str) and set(_GUID.findall(key_issuer)) <= set(_GUID.findall(issuer)))
