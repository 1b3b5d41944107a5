"""An OpenID issuer on a real socket: real keys, real signatures, and whatever an issuer may do wrong.

``TokenMaker`` signs; ``OpenIdIssuer`` publishes a maker's keys and counts who asks; ``identities`` are the callers of the rights matrix.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm

from shared.identity_settings import IdentitySettings
from shared.rights import ALL_ACTIONS, DataAction
from tests.support.fhir_peer import Behaviour, FhirPeer, Reply, received, serving

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping, Sequence
    from http.server import BaseHTTPRequestHandler

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

AUDIENCE: Final = "api://archive"
HOUR: Final = 3600
CONFIGURATION_PATH: Final = ".well-known/openid-configuration"
ROLES: Final = {
    "reader": frozenset({DataAction.READ}),
    "writer": frozenset({DataAction.READ, DataAction.WRITE}),
    "deleter": frozenset({DataAction.DELETE}),
    "tagger": frozenset({DataAction.MANAGE_EXTENDED_QUERY_TAGS}),
    "exporter": frozenset({DataAction.EXPORT}),
    "admin": ALL_ACTIONS,
}
CURVES: Final[dict[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


@lru_cache(maxsize=8)
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Give a key; the same one for the same number, since making one takes a while."""
    return rsa.generate_private_key(65537, bits)


@lru_cache(maxsize=8)
def ec_key(curve: str = "P-256") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(CURVES[curve])


def public_jwk(private: PrivateKey, key_id: str, **more: Any) -> dict[str, Any]:
    """Write a key as issuers publish it; None leaves a member out."""
    public = private.public_key()
    jwk = RSAAlgorithm.to_jwk(public, as_dict=True) if isinstance(public, rsa.RSAPublicKey) else ECAlgorithm.to_jwk(public, as_dict=True)
    jwk.pop("key_ops", None)
    return {name: value for name, value in {**jwk, "kid": key_id, "use": "sig", **more}.items() if value is not None}


@dataclass
class TokenMaker:
    """Signs tokens as an issuer of this name does."""

    issuer: str = "https://login.test/tenant/v2.0"
    private: PrivateKey = field(default_factory=rsa_key)
    key_id: str = "key-1"

    def claims(self, *roles: str, **more: Any) -> dict[str, Any]:
        """Give what a token says; None leaves a claim out."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "somebody",
            "azp": "viewer",
            "iat": now,
            "nbf": now,
            "exp": now + HOUR,
            "roles": list(roles),
        }
        return {name: value for name, value in {**usual, **more}.items() if value is not None}

    def token(self, *roles: str, algorithm: str = "RS256", headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Sign a token with the issuer's key."""
        return self.sign(self.claims(*roles, **claims), self.private, algorithm, headers)

    def sign(self, claims: Mapping[str, Any], key: Any, algorithm: str, headers: Mapping[str, Any] | None = None) -> str:
        """Sign with any key, under the id of ours unless the headers say otherwise."""
        every = {"kid": self.key_id, **(headers or {})}
        return jwt.encode(dict(claims), key, algorithm, headers={name: value for name, value in every.items() if value is not None})

    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class OpenIdIssuer(FhirPeer):
    """The issuer's web server: publishes the keys of its makers, or answers as it is told.

    Attributes
    ----------
    makers
        Whose keys are published.
    configuration, keys
        What to answer instead.
    asked
        Paths that were asked for, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.makers: list[TokenMaker] = []
        self.configuration: Behaviour | None = None
        self.keys: Behaviour | None = None
        self.asked: list[str] = []

    @property
    def fetches(self) -> int:
        return self.asked.count("keys")

    @property
    def settings(self) -> IdentitySettings:
        return IdentitySettings(self.url, (AUDIENCE, "api://other-name"), roles=ROLES)

    def maker(self, number: int = 1) -> TokenMaker:
        """Give a maker of tokens whose key is published from now on."""
        maker = TokenMaker(self.url, rsa_key(number), f"key-{number}")
        self.makers.append(maker)
        return maker

    def configuration_document(self, **more: Any) -> dict[str, Any]:
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **more}

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        path = received(handler).path
        self.asked.append(path)
        published = {"keys": [public_jwk(maker.private, maker.key_id) for maker in self.makers]}
        answers = {
            CONFIGURATION_PATH: self.configuration or Reply(body=self.configuration_document()),
            "keys": self.keys or Reply(body=published),
        }
        answers.get(path, Reply(404))(handler)


@contextmanager
def running_issuer(context: ssl.SSLContext | None = None) -> Iterator[OpenIdIssuer]:
    """Run an issuer on a free port."""
    with serving(OpenIdIssuer(), context) as issuer:
        yield issuer


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller of the matrix: its credentials, and what it may do; None where nobody knows it."""

    authorizations: Sequence[str]
    may: frozenset[DataAction] | None = None
    query: str = ""


def identities(maker: TokenMaker) -> dict[str, Identity]:
    """Give everyone who may knock, by what they are called; ``maker`` is the issuer that the service trusts."""
    now = int(time.time())
    admin, stranger = maker.token("admin"), rsa_key(99)

    def signed(**claims: Any) -> str:
        return maker.token("admin", **claims)

    strangers = {
        "garbage": "garbage",
        "alg none": jwt.encode(maker.claims("admin"), "", "none", headers={"kid": maker.key_id}),
        "signed with the public key": confused(maker),
        "unknown key": maker.sign(maker.claims("admin"), stranger, "RS256", {"kid": "key-of-nobody"}),
        "no key named": maker.sign(maker.claims("admin"), maker.private, "RS256", {"kid": None}),
        "wrong issuer": signed(iss="https://elsewhere.test"),
        "wrong audience": signed(aud="api://elsewhere"),
        "expired": signed(exp=now - HOUR),
        "not yet valid": signed(nbf=now + HOUR),
        "wrong key under the right id": maker.sign(maker.claims("admin"), stranger, "RS256"),
        "brings its own key": maker.sign(maker.claims("admin"), stranger, "RS256", {"jwk": public_jwk(stranger, maker.key_id)}),
        "an ID token": signed(azp=None),
    }
    known = {
        "no roles": maker.token(),
        "unknown role": maker.token("emperor"),
        **{role: maker.token(role) for role in ROLES},
        "reader and deleter": maker.token("reader", "deleter"),
    }
    may = {"reader and deleter": ROLES["reader"] | ROLES["deleter"], **ROLES}
    return {
        "no token": Identity(()),
        "token in the query": Identity((), query=f"access_token={admin}"),
        "two headers": Identity((f"Bearer {admin}", f"Bearer {admin}")),
        "another scheme": Identity((f"Basic {admin}",)),
        **{name: Identity((f"Bearer {token}",)) for name, token in strangers.items()},
        **{name: Identity((f"Bearer {token}",), may.get(name, frozenset())) for name, token in known.items()},
    }


def confused(maker: TokenMaker) -> str:
    """Sign with HMAC, the public key being the secret: what a service takes that lets the token choose the algorithm."""
    unsigned = jwt.encode(maker.claims("admin"), "x" * 32, "HS256", headers={"kid": maker.key_id}).rpartition(".")[0]
    hmac = HMACAlgorithm(HMACAlgorithm.SHA256)
    signature = hmac.sign(unsigned.encode(), maker.public_pem())  # the library itself refuses to make such a key
    return f"{unsigned}.{jwt.utils.base64url_encode(signature).decode()}"
