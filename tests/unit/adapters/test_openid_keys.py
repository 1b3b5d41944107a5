"""Keys of an OpenID issuer, held against one that rotates, lies, dawdles or is away. Real sockets and keys."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from shared.access import DataAction, TokenAccess
from shared.adapters import openid_documents, openid_keys
from shared.adapters.openid_documents import LARGEST_DOCUMENT_BYTES
from shared.adapters.openid_keys import FRESH_SECONDS, KEPT_SECONDS, PAUSE_SECONDS, OpenIdKeys
from shared.errors import Busy, Unauthorized
from tests.support.certificates import server_context
from tests.support.fhir_peer import Reply, hang_up, raw
from tests.support.issuer import CONFIGURATION_PATH, CURVES, OpenIdIssuer, TokenMaker, ec_key, public_jwk, rsa_key, running_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fhir_peer import Behaviour

TENANT, OTHER_TENANT = "11111111-2222-3333-4444-555555555555", "9188040d-6c67-4c5b-b112-36a304b66dad"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[OpenIdIssuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(issuer: OpenIdIssuer, clock: Clock) -> OpenIdKeys:
    return OpenIdKeys(issuer.url, clock)


async def accepts(keys: OpenIdKeys, issuer: OpenIdIssuer, maker: TokenMaker) -> bool:
    """Tell whether a new token of the maker is taken."""
    try:
        await TokenAccess(issuer.settings, keys).authorize(DataAction.READ, f"Bearer {maker.token('reader')}")
    except Unauthorized:
        return False
    return True


async def problem(keys: OpenIdKeys) -> str:
    with pytest.raises(Busy) as raised:
        await keys.current("key-1")
    return str(raised.value)


# When they are fetched


async def test_nothing_is_asked_before_the_first_token_and_once_for_all_after_it(keys: OpenIdKeys, issuer: OpenIdIssuer) -> None:
    maker = issuer.maker()
    assert issuer.asked == []
    assert all(await asyncio.gather(*(accepts(keys, issuer, maker) for _ in range(50))))
    assert issuer.asked == [CONFIGURATION_PATH, "keys"]


async def test_what_is_under_way_is_not_begun_again(keys: OpenIdKeys, issuer: OpenIdIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openid_keys, "PAUSE_SECONDS", 0)
    maker = issuer.maker()
    assert all(await asyncio.gather(*(accepts(keys, issuer, maker) for _ in range(20))))
    assert issuer.fetches == 1


async def test_keys_are_kept_for_an_hour(keys: OpenIdKeys, issuer: OpenIdIssuer, clock: Clock) -> None:
    maker = issuer.maker()
    for later, fetches in ((0, 1), (FRESH_SECONDS - 1, 1), (1, 2), (FRESH_SECONDS - 1, 2)):
        clock.now += later
        assert await accepts(keys, issuer, maker)
        assert issuer.fetches == fetches


async def test_a_new_key_is_known_at_once(keys: OpenIdKeys, issuer: OpenIdIssuer, clock: Clock) -> None:
    assert await accepts(keys, issuer, issuer.maker(1))
    clock.now += PAUSE_SECONDS
    assert await accepts(keys, issuer, issuer.maker(2))


async def test_a_withdrawn_key_is_refused_once_the_keys_are_old(keys: OpenIdKeys, issuer: OpenIdIssuer, clock: Clock) -> None:
    first = issuer.maker(1)
    assert await accepts(keys, issuer, first)
    issuer.makers = []
    second = issuer.maker(2)
    clock.now += FRESH_SECONDS - 1
    assert await accepts(keys, issuer, first)
    clock.now += 1
    assert not await accepts(keys, issuer, first)
    assert await accepts(keys, issuer, second)


async def test_made_up_key_ids_are_no_flood_of_requests(keys: OpenIdKeys, issuer: OpenIdIssuer, clock: Clock) -> None:
    maker = issuer.maker()
    assert await accepts(keys, issuer, maker)
    clock.now += PAUSE_SECONDS
    strangers = [TokenMaker(issuer.url, rsa_key(99), f"made-up-{number}") for number in range(1000)]
    started = time.monotonic()
    assert not any(await asyncio.gather(*(accepts(keys, issuer, stranger) for stranger in strangers[:500])))
    for stranger in strangers[500:]:
        assert not await accepts(keys, issuer, stranger)
    assert issuer.fetches == 2
    assert time.monotonic() - started < 20
    assert await accepts(keys, issuer, maker)


async def test_between_two_fetches_there_is_a_pause(keys: OpenIdKeys, issuer: OpenIdIssuer, clock: Clock) -> None:
    issuer.maker(1)
    stranger = TokenMaker(issuer.url, rsa_key(99), "made-up")
    for later, fetches in ((0, 1), (PAUSE_SECONDS - 0.1, 1), (0.1, 2), (0, 2)):
        clock.now += later
        assert not await accepts(keys, issuer, stranger)
        assert issuer.fetches == fetches


# The issuer is away


async def test_without_any_keys_callers_wait_and_nobody_is_told_a_lie(keys: OpenIdKeys, issuer: OpenIdIssuer, clock: Clock) -> None:
    maker = issuer.maker()
    issuer.keys = Reply(503)
    for _ in range(3):
        with pytest.raises(Busy, match="answered 503") as raised:
            await accepts(keys, issuer, maker)
        assert raised.value.retry_after_seconds == PAUSE_SECONDS
    assert issuer.fetches == 1
    issuer.keys = None
    clock.now += PAUSE_SECONDS
    assert await accepts(keys, issuer, maker)


async def test_while_the_issuer_is_away_the_keys_stay_good_for_a_day(keys: OpenIdKeys, issuer: OpenIdIssuer, clock: Clock) -> None:
    maker = issuer.maker()
    assert await accepts(keys, issuer, maker)
    issuer.configuration = hang_up
    clock.now += FRESH_SECONDS
    assert await accepts(keys, issuer, maker)
    clock.now += KEPT_SECONDS - FRESH_SECONDS - 1
    assert await accepts(keys, issuer, maker)
    clock.now += 1
    assert "gave no whole answer" in await problem(keys)


async def test_an_issuer_that_hangs_holds_nobody_up_twice(
    keys: OpenIdKeys, issuer: OpenIdIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = issuer.maker()
    assert await accepts(keys, issuer, maker)
    monkeypatch.setattr(openid_documents, "_RECEIVE_SECONDS", 0.3)
    issuer.configuration = issuer.silence
    clock.now += FRESH_SECONDS
    waits = []
    for _ in range(3):
        started = time.monotonic()
        assert await accepts(keys, issuer, maker)
        waits.append(time.monotonic() - started)
        clock.now += PAUSE_SECONDS
    assert waits[0] > 0.25
    assert max(waits[1:]) < 0.2


async def test_a_caller_who_leaves_does_not_stop_the_fetch_for_others(keys: OpenIdKeys, issuer: OpenIdIssuer) -> None:
    maker = issuer.maker()
    hasty = asyncio.ensure_future(accepts(keys, issuer, maker))
    patient = asyncio.ensure_future(accepts(keys, issuer, maker))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hasty.cancel()
    assert await patient
    assert issuer.fetches == 1


async def test_the_log_says_why_and_no_address(keys: OpenIdKeys, issuer: OpenIdIssuer, caplog: pytest.LogCaptureFixture) -> None:
    issuer.configuration = Reply(404, b"secret")
    with caplog.at_level(logging.DEBUG):
        await problem(keys)
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("shared")]
    assert said == "The keys of AUTHORITY could not be fetched: the issuer answered 404"


# What is not taken for an answer

GOOD_START = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Reply(301, headers={"Location": "https://elsewhere.test/"}), "answered 301"),
        (Reply(404), "answered 404"),
        (Reply(500), "answered 500"),
        (Reply(body=b"<html>"), "no JSON object"),
        (Reply(body=[]), "no JSON object"),
        (Reply(body=b'{"a": ' * 10_000), "no JSON object"),
        (Reply(body=b" " * (LARGEST_DOCUMENT_BYTES + 1)), "too large"),
        (Reply(body={}), "names no single issuer"),
        (raw(GOOD_START), "no whole answer"),
        (raw(b"nonsense\r\n\r\n"), "no whole answer"),
        (hang_up, "no whole answer"),
    ],
)
async def test_a_configuration_that_is_none(keys: OpenIdKeys, issuer: OpenIdIssuer, answer: Behaviour, reason: str) -> None:
    issuer.maker()
    issuer.configuration = answer
    assert reason in await problem(keys)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}, "one tenant"),
        ({"issuer": 5}, "names no single issuer"),
        ({"issuer": ""}, "names no single issuer"),
        ({"jwks_uri": None}, "no https address"),
        ({"jwks_uri": "file:///etc/passwd"}, "no https address"),
        ({"jwks_uri": "ftp://127.0.0.1/keys"}, "no https address"),
        ({"jwks_uri": "HTTP:127.0.0.1"}, "no https address"),
        ({"jwks_uri": "https://"}, "no whole answer"),
        ({"jwks_uri": "https://[::"}, "no whole answer"),
        ({"jwks_uri": "https://127.0.0.1:1/keys"}, "no whole answer"),
    ],
)
async def test_a_configuration_that_leads_nowhere(keys: OpenIdKeys, issuer: OpenIdIssuer, more: dict[str, Any], reason: str) -> None:
    issuer.configuration = Reply(body=issuer.configuration_document(**more))
    assert reason in await problem(keys)


async def test_the_issuers_name_may_differ_from_its_address(keys: OpenIdKeys, issuer: OpenIdIssuer) -> None:
    """Entra ID's older tokens: asked at login.microsoftonline.com, issued by sts.windows.net."""
    name = f"https://sts.windows.net/{TENANT}/"
    maker = issuer.maker()
    issuer.configuration = Reply(body=issuer.configuration_document(issuer=name))
    assert not await accepts(keys, issuer, maker)
    maker.issuer = name
    assert await accepts(keys, issuer, maker)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
async def test_an_answer_that_drips_ends(keys: OpenIdKeys, issuer: OpenIdIssuer, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(openid_documents, "_TOTAL_SECONDS", 0.5)
    issuer.configuration = issuer.drip(start, b" ")
    started = time.monotonic()
    assert "no whole answer" in await problem(keys)
    assert time.monotonic() - started < 5


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    with running_issuer(server_context(tmp_path)) as issuer:
        assert issuer.url.startswith("https://")
        assert "SSLError" in await problem(OpenIdKeys(issuer.url))
        assert issuer.asked == []


async def test_nobody_at_the_address() -> None:
    assert "ConnectionError" in await problem(OpenIdKeys("http://127.0.0.1:1"))


# Which keys are taken


def key(**more: Any) -> dict[str, Any]:
    return public_jwk(rsa_key(1), "key-1", **more)


@pytest.mark.parametrize(
    ("jwk", "algorithms"),
    [
        (key(), ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        (key(use=None), ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        (key(alg="PS256"), ["PS256"]),
        (key(alg="RS256", issuer=f"https://login.microsoftonline.com/{TENANT}/v2.0"), ["RS256"]),
        (key(alg="RS256", issuer="https://login.microsoftonline.com/{tenantid}/v2.0"), ["RS256"]),
        *((public_jwk(ec_key(curve), "key-1"), [f"ES{size}"]) for curve, size in zip(CURVES, (256, 384, 512), strict=True)),
    ],
)
async def test_a_key_of_use(keys: OpenIdKeys, issuer: OpenIdIssuer, jwk: dict[str, Any], algorithms: list[str]) -> None:
    issuer.configuration = Reply(body=issuer.configuration_document(issuer=f"https://sts.windows.net/{TENANT}/"))
    issuer.keys = Reply(body={"keys": [{"kid": "junk"}, jwk]})
    published = (await keys.current("key-1")).keys
    assert {name: list(key.algorithms) for name, key in published.items()} == {"key-1": algorithms}


@pytest.mark.parametrize(
    "jwk",
    [
        key(use="enc"),
        key(alg="HS256"),
        key(alg="RSA-OAEP"),
        key(alg="none"),
        key(d="AQAB"),
        key(n="!"),
        key(n=None),
        key(n=5),
        key(kid=None),
        key(kid=5),
        key(issuer=f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"),
        key(issuer=5),
        public_jwk(rsa_key(2, 1024), "key-1"),
        {**ECAlgorithm.to_jwk(ec_key(), as_dict=True), "kid": "key-1"},
        {**RSAAlgorithm.to_jwk(rsa_key(1), as_dict=True), "kid": "key-1"},
        public_jwk(ec_key(), "key-1", alg="ES384"),
        public_jwk(ec_key(), "key-1", crv="P-384"),
        public_jwk(ec_key(), "key-1", crv="secp256k1"),
        public_jwk(ec_key(), "key-1", x="AA"),
        {"kty": "oct", "kid": "key-1", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"},
        {"kty": "OKP", "kid": "key-1", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kid": "key-1"},
        "key-1",
        None,
    ],
)
async def test_a_key_of_no_use(keys: OpenIdKeys, issuer: OpenIdIssuer, jwk: Any) -> None:
    issuer.configuration = Reply(body=issuer.configuration_document(issuer=f"https://sts.windows.net/{TENANT}/"))
    issuer.keys = Reply(body={"keys": [jwk]})
    assert "publishes no key of use" in await problem(keys)


@pytest.mark.parametrize("document", [{}, {"keys": []}, {"keys": {}}, {"keys": "x"}, {"keys": None}])
async def test_a_list_without_keys(keys: OpenIdKeys, issuer: OpenIdIssuer, document: Any) -> None:
    issuer.keys = Reply(body=json.dumps(document).encode())
    assert "publishes no key of use" in await problem(keys)
