"""A throw-away OpenID issuer: a key made at start, its documents on a loopback port of its own, and tokens to try.

The key lives in this process and nowhere else: after a restart nobody takes its tokens any more.
"""

from __future__ import annotations

import json
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from localhost.server import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOKEN_HOURS = 12
AUDIENCE = "api://dicomweb.localhost"
_ROLES = {"read": ["read"], "write": ["read", "write"], "all": ["*"]}
"""Name of a token, and of its role → what it allows."""
_POLL_SECONDS = 0.05
_CONFIGURATION, _KEYS = "/.well-known/openid-configuration", "/keys"


@dataclass(frozen=True, slots=True)
class Issuer:
    """A running issuer: the app settings that make the app trust it, and its tokens by name."""

    settings: Mapping[str, str]
    tokens: Mapping[str, str]


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Run an issuer for as long as the context lasts."""
    key, key_id = ec.generate_private_key(ec.SECP256R1()), secrets.token_hex(8)
    documents: dict[str, Any] = {}
    server = ThreadingHTTPServer((ADDRESS, 0), partial(_Handler, documents))
    url = f"http://{ADDRESS}:{server.server_address[1]}"
    public = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", "alg": "ES256"}
    documents[_CONFIGURATION] = {"issuer": url, "jwks_uri": url + _KEYS, "id_token_signing_alg_values_supported": ["ES256"]}
    documents[_KEYS] = {"keys": [public]}
    settings = {"AUTHORITY": url, "AUDIENCE": AUDIENCE, "ROLES_CLAIM": "roles", "ROLES": json.dumps(_ROLES)}
    tokens = {name: jwt.encode(_claims(url, name), key, "ES256", headers={"kid": key_id, "typ": "at+jwt"}) for name in _ROLES}
    thread = Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="issuer", daemon=True)
    thread.start()
    try:
        yield Issuer(settings, tokens)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _claims(issuer: str, role: str) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": f"local-{role}",
        "client_id": f"local-{role}",
        "jti": secrets.token_hex(8),
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_HOURS * 3600,
        "roles": [role],
    }


class _Handler(BaseHTTPRequestHandler):
    """Serves the two documents, which are public."""

    def __init__(self, documents: Mapping[str, Any], *connection: Any) -> None:
        self._documents = documents
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Answer with a document."""
        document = self._documents.get(self.path)
        body = json.dumps(document).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
