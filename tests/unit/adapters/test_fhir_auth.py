"""Tokens are got from whoever issues them, kept while they last, and thrown away when they are refused."""

from __future__ import annotations

import time
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
from azure.identity import ClientSecretCredential, DefaultAzureCredential

from shared.adapters import fhir_auth
from shared.adapters.fhir_auth import Token, Tokens
from shared.adapters.fhir_http import HttpFhirServer
from shared.fhir.server import FhirConfiguration, FhirError, FhirTransient
from shared.fhir_settings import FhirSettings
from tests.support.fhir_peer import FhirPeer, Reply, fhir_peer, hang_up

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = Reply(body={"resourceType": "Bundle", "type": "searchset"})


def issued(text: str, **more: Any) -> Reply:
    return Reply(body={"access_token": text, "token_type": "Bearer", **more})


def settings(base_url: str, **more: Any) -> FhirSettings:
    return FhirSettings(base_url, "https://a.test/fhir", "urn:oid:1.2", "urn:oid:1.3", "https://a.test/v2", **more)


@pytest.fixture
def peer() -> Iterator[FhirPeer]:
    with fhir_peer() as running:
        yield running


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(peer: FhirPeer, clock: Clock) -> Iterator[HttpFhirServer]:
    """Make a client with a password for the peer's token endpoint."""
    more = {"client_id": "the app", "client_secret": "s:ä", "token_url": f"{peer.url}/token", "scope": "system/*.rs"}
    client = HttpFhirServer(settings(peer.url, auth="client-credentials", **more), clock=clock)
    yield client
    client.close()


def tokens_sent(peer: FhirPeer) -> list[str]:
    return [seen.headers.get("authorization", "") for seen in peer.seen if seen.path != "token"]


async def search(server: HttpFhirServer) -> None:
    await server.search("Patient", {})


async def test_a_token_is_got_with_the_clients_password(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(issued("t1"), OK)
    await search(server)
    asked = peer.seen[0]
    assert (asked.method, asked.path, asked.form()) == ("POST", "token", {"grant_type": "client_credentials", "scope": "system/*.rs"})
    assert b64decode(asked.headers["authorization"].removeprefix("Basic ")) == b"the%20app:s%3A%C3%A4"
    assert tokens_sent(peer) == ["Bearer t1"]


async def test_a_token_is_kept_until_five_minutes_before_its_end(server: HttpFhirServer, peer: FhirPeer, clock: Clock) -> None:
    peer.answers(issued("t1", expires_in=3600), OK, OK, issued("t2", expires_in=3600), OK)
    await search(server)
    clock.now += 3299
    await search(server)
    clock.now += 1
    await search(server)
    assert tokens_sent(peer) == ["Bearer t1", "Bearer t1", "Bearer t2"]


@pytest.mark.parametrize("life", [{"expires_in": 100}, {"expires_in": "junk"}, {"expires_in": -1}, {"expires_in": 1e300}, {}])
async def test_a_short_or_unsaid_life_is_half_used(server: HttpFhirServer, peer: FhirPeer, clock: Clock, life: dict[str, Any]) -> None:
    peer.answers(issued("t1", **life), OK, OK, issued("t2"), OK)
    await search(server)
    clock.now += 49
    await search(server)
    clock.now += 101
    await search(server)
    assert tokens_sent(peer) == ["Bearer t1", "Bearer t1", "Bearer t2"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_kept_token_that_is_refused_is_replaced_once(server: HttpFhirServer, peer: FhirPeer, status: int) -> None:
    peer.answers(issued("t1"), OK, Reply(status), issued("t2"), OK, OK)
    for _ in range(3):
        await search(server)
    assert tokens_sent(peer) == ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_new_token_that_is_refused_is_the_operators_to_see_to(server: HttpFhirServer, peer: FhirPeer, status: int) -> None:
    peer.answers(issued("t1"), Reply(status), issued("t2"), OK)
    with pytest.raises(FhirConfiguration, match="access refused"):
        await search(server)
    await search(server)
    assert tokens_sent(peer) == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, {"error": "invalid_client"}),
        Reply(401),
        Reply(302, b"", {"Location": "/x"}),
        Reply(200, b"<html>"),
        Reply(200, b"[" * 100_000),
        Reply(200, []),
        Reply(200, {"access_token": 7}),
        Reply(200, {"access_token": ""}),
        Reply(200, {"access_token": "a\r\nX-Evil: 1"}),
        Reply(200, {"access_token": "ä"}),
    ],
)
async def test_no_token_is_the_operators_to_see_to(server: HttpFhirServer, peer: FhirPeer, reply: Reply) -> None:
    peer.answers(reply)
    with pytest.raises(FhirConfiguration, match="FHIR_AUTH"):
        await search(server)
    assert len(peer.seen) == 1


@pytest.mark.parametrize("behaviour", [Reply(503), Reply(429), hang_up])
async def test_whoever_issues_tokens_may_be_away(server: HttpFhirServer, peer: FhirPeer, behaviour: Any) -> None:
    peer.answers(behaviour, issued("t1"), OK)
    with pytest.raises(FhirTransient):
        await search(server)
    await search(server)


def test_a_token_that_was_replaced_meanwhile_is_not_thrown_away() -> None:
    class Counter:
        count = 0

        def issue(self) -> Token:
            self.count += 1
            return Token(f"t{self.count}", 3600)

    counter = Counter()
    tokens = Tokens(lambda: counter)
    assert tokens.get() == ("t1", True)
    tokens.forget("t0")
    assert tokens.get() == ("t1", False)
    tokens.forget("t1")
    assert tokens.get() == ("t2", True)


# The Azure SDK


@pytest.fixture
def identity(peer: FhirPeer, monkeypatch: pytest.MonkeyPatch) -> FhirSettings:
    """Where a function app finds its managed identity: the peer plays the endpoint that Azure gives it."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{peer.url}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", "secret")
    return settings(peer.url, auth="managed-identity", client_id="5d1c8f52-1b7e-4f43-8a52-9f3f1f3a7e02")


async def test_a_managed_identity_gets_a_token_for_the_server(peer: FhirPeer, identity: FhirSettings) -> None:
    peer.answers(issued("t1", expires_on=str(int(time.time()) + 3600)), OK, OK)
    server = HttpFhirServer(identity)
    await search(server)
    await search(server)
    server.close()
    assert f"client_id={identity.client_id}" in peer.seen[0].path
    assert tokens_sent(peer)[1:] == ["Bearer t1", "Bearer t1"]


async def test_a_refused_token_of_an_identity_is_not_taken_from_the_sdks_memory(peer: FhirPeer, identity: FhirSettings) -> None:
    expires_on = str(int(time.time()) + 3600)
    peer.answers(issued("t1", expires_on=expires_on), OK, Reply(401), issued("t2", expires_on=expires_on), OK)
    server = HttpFhirServer(identity)
    await search(server)
    await search(server)
    server.close()
    assert peer.last.headers["authorization"] == "Bearer t2"


NO_IDENTITY = Reply(400, {"statusCode": 400, "message": "no identity"})


@pytest.mark.parametrize(
    ("reply", "kind"), [(NO_IDENTITY, FhirConfiguration), (Reply(404), FhirConfiguration), (Reply(200, b"<html>"), FhirTransient)]
)
async def test_an_identity_that_gives_no_token_is_told(peer: FhirPeer, identity: FhirSettings, reply: Reply, kind: type[FhirError]) -> None:
    peer.answers(*[reply] * 10)
    server = HttpFhirServer(identity)
    with pytest.raises(kind, match="no token for the FHIR server"):
        await search(server)
    server.close()


async def test_an_identity_endpoint_that_is_away_is_transient(identity: FhirSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/identity")
    server = HttpFhirServer(identity)
    with pytest.raises(FhirTransient):
        await search(server)
    server.close()


def test_the_settings_choose_the_credential() -> None:
    client = settings("https://fhir.test", auth="client-credentials", tenant_id="tenant", client_id="app", client_secret="s3cret")  # noqa: S106 -- none
    assert isinstance(fhir_auth._credential(client), ClientSecretCredential)
    assert isinstance(fhir_auth._credential(settings("https://fhir.test", auth="managed-identity")), DefaultAzureCredential)
