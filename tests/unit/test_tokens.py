"""Which tokens are taken, and what they say. Real keys and signatures; forged, confused and odd ones among them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.utils import base64url_encode

from shared.errors import Unauthorized
from shared.tokens import (
    LEEWAY_SECONDS,
    MAX_TOKEN_CHARACTERS,
    IssuerKeys,
    SigningKey,
    bearer_token,
    label_of,
    read_claims,
    roles_of,
    subject_of,
)
from tests.support.issuer import AUDIENCE, TokenMaker, confused, ec_key, rsa_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.tokens import Claims

MAKER = TokenMaker()
RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
EXP_OFF, EARLY = LEEWAY_SECONDS - 20, LEEWAY_SECONDS + 20


class Keys:
    """Keys that need no fetching."""

    def __init__(self, maker: TokenMaker = MAKER, algorithms: Sequence[str] = RSA) -> None:
        self.published = IssuerKeys(maker.issuer, {maker.key_id: SigningKey(maker.private.public_key(), algorithms)})

    async def current(self, key_id: str) -> IssuerKeys:
        return self.published


async def read(token: str, keys: Keys | None = None) -> Claims:
    return await read_claims(token, (AUDIENCE, "second"), keys or Keys())


def saying(claims: dict[str, Any]) -> str:
    """Sign a token that says this, over what tokens usually say; None leaves a claim out."""
    return MAKER.token(**claims)


async def refusal(token: str, keys: Keys | None = None) -> str:
    with pytest.raises(Unauthorized) as raised:
        await read(token, keys)
    return str(raised.value)


# Signatures


@pytest.mark.parametrize("algorithm", RSA)
async def test_each_rsa_algorithm_is_taken(algorithm: str) -> None:
    assert (await read(MAKER.token(algorithm=algorithm)))["sub"] == "somebody"


@pytest.mark.parametrize("algorithm", CURVE_OF)
async def test_each_elliptic_algorithm_is_taken_from_its_curve_alone(algorithm: str) -> None:
    maker = TokenMaker(private=ec_key(CURVE_OF[algorithm]))
    assert await read(maker.token(algorithm=algorithm), Keys(maker, [algorithm]))
    other = next(name for name in CURVE_OF if name != algorithm)
    assert await refusal(maker.token(algorithm=algorithm), Keys(maker, [other])) == "The token is not valid."


async def test_a_key_that_is_for_one_algorithm_is_not_used_for_another() -> None:
    assert await refusal(MAKER.token(algorithm="RS512"), Keys(algorithms=["RS256"])) == "The token is not valid."


async def test_an_algorithm_of_another_kind_of_key_is_refused() -> None:
    elliptic = TokenMaker(private=ec_key())
    await refusal(elliptic.token(algorithm="ES256"))
    await refusal(MAKER.token(), Keys(elliptic, ["ES256"]))


async def test_the_public_key_is_no_shared_secret() -> None:
    token = confused(MAKER)
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    await refusal(token)
    await refusal(token, Keys(algorithms=[*RSA, "HS256"]))  # nor if the list were wrong


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 5, ["RS256"], {"a": 1}, "HS512", "RS1", "ES256K", "EdDSA"])
async def test_an_algorithm_that_is_not_listed_is_refused(algorithm: Any) -> None:
    _, payload, signature = MAKER.token().split(".")
    header = base64url_encode(json.dumps({"alg": algorithm, "kid": MAKER.key_id}).encode()).decode()
    await refusal(f"{header}.{payload}.{signature}")
    await refusal(f"{header}.{payload}.x")


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_a_token_that_was_changed_is_refused(part: int) -> None:
    parts = MAKER.token().split(".")
    middle = len(parts[part]) // 2
    changed = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + changed + parts[part][middle + 1 :]
    await refusal(".".join(parts))


async def test_the_key_must_be_one_that_the_issuer_publishes() -> None:
    assert "does not publish" in await refusal(MAKER.token(headers={"kid": "other"}))
    assert await refusal(MAKER.sign(MAKER.claims(), rsa_key(99), "RS256")) == "The token is not valid."


@pytest.mark.parametrize(
    "headers",
    [
        {"kid": None},
        {"typ": "logout+jwt"},
        {"typ": "secevent+jwt"},
        {"typ": 5},
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": "b64"},
        {"b64": False, "crit": ["b64"]},
    ],
)
async def test_a_header_that_asks_for_something_else_is_refused(headers: dict[str, Any]) -> None:
    parts = MAKER.token().split(".")
    header = {"alg": "RS256", "kid": MAKER.key_id, "typ": "JWT", **headers}
    signing_input = f"{base64url_encode(json.dumps(header).encode()).decode()}.{parts[1]}"
    algorithm = jwt.get_algorithm_by_name("RS256")
    signature = base64url_encode(algorithm.sign(signing_input.encode(), MAKER.private)).decode()
    await refusal(f"{signing_input}.{signature}")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"])
async def test_the_types_of_access_tokens_are_taken(kind: str) -> None:
    assert await read(MAKER.token(headers={"typ": kind}))


@settings(max_examples=300)
@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]),
        st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)
        | st.sampled_from(["RS256", "none", MAKER.key_id, "JWT"]),
    ),
    payload=st.binary(max_size=50),
    signature=st.binary(max_size=50),
)
async def test_whatever_comes_is_refused_and_nothing_breaks(header: dict[str, Any], payload: bytes, signature: bytes) -> None:
    parts = (json.dumps(header).encode(), payload, signature)
    await refusal(".".join(base64url_encode(part).decode() for part in parts))


@pytest.mark.parametrize("header", [b"[" * 10_000, b'{"kid":' * 2_000, b"\xff\xfe", b"[]", b"null", b'"x"', b'{"kid": "\\ud800"}'])
async def test_a_header_that_cannot_be_read_is_refused(header: bytes) -> None:
    await refusal(f"{base64url_encode(header).decode()}.e30.e30")


# Claims


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": -EARLY}, "has expired"),
        ({"nbf": EARLY}, "not valid yet"),
        ({"iat": EARLY}, "not valid yet"),
        ({"aud": "other"}, "another audience"),
        ({"aud": AUDIENCE + "/"}, "another audience"),
        ({"aud": AUDIENCE.upper()}, "another audience"),
        ({"aud": ["other", "one-more"]}, "another audience"),
        ({"aud": {"x": AUDIENCE}}, "another audience"),
        ({"iss": "https://login.test/tenant/v2.0/"}, "another issuer"),
        ({"iss": "https://login.test"}, "another issuer"),
        ({"iss": "https://login.test/tenant/v2.0?"}, "another issuer"),
        ({"aud": []}, "not valid"),
    ],
)
async def test_the_reason_is_said(claims: dict[str, Any], reason: str) -> None:
    now = int(time.time())
    shifted = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
    assert reason in await refusal(saying(shifted))


@pytest.mark.parametrize("claims", [{"exp": -EXP_OFF}, {"nbf": EXP_OFF}, {"iat": EXP_OFF}])
async def test_clocks_may_differ_a_little(claims: dict[str, int]) -> None:
    now = int(time.time())
    assert await read(saying({name: now + value for name, value in claims.items()}))


@pytest.mark.parametrize("audience", ["second", [AUDIENCE], ["other", "second"]])
async def test_any_of_our_audiences_will_do(audience: Any) -> None:
    assert await read(MAKER.token(aud=audience))


@pytest.mark.parametrize("claim", ["exp", "iss", "aud", "sub"])
async def test_a_token_must_say_all_that_counts(claim: str) -> None:
    await refusal(saying({claim: None}))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_what_some_issuers_leave_out_may_be_missing(claim: str) -> None:
    assert await read(saying({claim: None}))


def with_payload(payload: bytes) -> str:
    """Sign what the library would not write."""
    return jwt.api_jws.encode(payload, MAKER.private, "RS256", {"kid": MAKER.key_id})


@pytest.mark.parametrize("value", [[], {}, ["soon"], float("inf"), float("nan")])
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat", "iss", "sub", "aud"])
async def test_a_claim_that_makes_no_sense_is_refused(claim: str, value: Any) -> None:
    await refusal(with_payload(json.dumps({**MAKER.claims(), claim: value}).encode()))


@pytest.mark.parametrize("payload", [b"[]", b"null", b"5", b"\xff", b"[" * 5_000, b""])
async def test_claims_that_are_no_object_are_refused(payload: bytes) -> None:
    await refusal(with_payload(payload))


@pytest.mark.parametrize(
    "claims", [{"azp": None}, {"azp": ""}, {"azp": 5}, {"at_hash": "x"}, {"c_hash": "x"}, {"typ": "ID"}, {"token_use": "id"}]
)
async def test_an_id_token_is_no_access_token(claims: dict[str, Any]) -> None:
    assert await refusal(saying(claims)) == "The token is no access token."


@pytest.mark.parametrize("claim", ["azp", "appid", "client_id", "cid"])
async def test_the_client_has_several_names(claim: str) -> None:
    assert label_of(await read(saying({"azp": None, claim: "viewer-2"}))) == "viewer-2"


# The header


@pytest.mark.parametrize("authorization", ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c  ", "BeArEr a-_.b.c"])
def test_a_token_is_found(authorization: str) -> None:
    assert bearer_token(authorization).count(".") == 2


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "a.b.c",
        "Bearera.b.c",
        "Basic a.b.c",
        "Bearer a.b",
        "Bearer a.b.c.d",
        "Bearer a..c",
        "Bearer a.b.",
        "Bearer a.b.c, Bearer a.b.c",
        "Bearer a.b.c Bearer a.b.c",
        "Bearer\ta.b.c",
        "Bearer a.b.c\n",
        "Bearer a.b.ć",
        "Bearer a.b.\u0661",
        'Bearer "a.b.c"',
        "Bearer a.b.c" + "c" * MAX_TOKEN_CHARACTERS,
    ],
)
def test_any_other_form_is_none(authorization: str) -> None:
    with pytest.raises(Unauthorized, match="Bearer"):
        bearer_token(authorization)


def test_without_the_header_one_is_asked_for() -> None:
    with pytest.raises(Unauthorized, match="needed"):
        bearer_token(None)


# What it says

TENANT, PERSON = "11111111-2222-3333-4444-555555555555", "99999999-8888-7777-6666-555555555555"


def test_a_person_of_entra_is_the_same_for_every_client_and_version() -> None:
    common = {"tid": TENANT, "oid": PERSON}
    newer = {**common, "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "sub": "a"}
    older = {**common, "iss": f"https://sts.windows.net/{TENANT}/", "sub": "b"}
    assert subject_of(newer) == subject_of(older) == f"{TENANT}/{PERSON}"


@pytest.mark.parametrize(
    "claims", [{}, {"oid": PERSON}, {"tid": TENANT}, {"tid": TENANT, "oid": PERSON}, {"tid": "", "oid": "x"}, {"tid": 5}]
)
def test_elsewhere_a_subject_is_its_issuers(claims: dict[str, Any]) -> None:
    assert subject_of({**claims, "iss": "https://login.test", "sub": "me"}) == "https://login.test#me"


@pytest.mark.parametrize(
    ("claims", "label"),
    [
        ({"azp": "viewer"}, "viewer"),
        ({"azp": "viewer", "preferred_username": "ann@hospital.test"}, "ann@hospital.test"),
        ({"appid": "viewer", "upn": "ann@hospital.test"}, "ann@hospital.test"),
        ({"azp": "viewer", "preferred_username": "x\ny"}, "viewer"),
        ({"azp": "viewer", "preferred_username": "x" * 300}, "viewer"),
        ({"azp": "viewer", "upn": ["x"]}, "viewer"),
    ],
)
def test_a_label_is_short_and_printable(claims: dict[str, Any], label: str) -> None:
    assert label_of(claims) == label


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        (["a", "b"], {"a", "b"}),
        ("a b", {"a", "b"}),
        ("a", {"a"}),
        (["a b"], {"a b"}),
        (["a", 5, None, ["b"]], {"a"}),
        (None, set()),
        (5, set()),
        ({"a": 1}, set()),
    ],
)
def test_roles_are_a_list_or_one_text(value: Any, roles: set[str]) -> None:
    assert roles_of({"roles": value}, "roles") - {""} == roles
