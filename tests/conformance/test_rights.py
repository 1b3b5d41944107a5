"""The matrix of rights: every route and method of the app x everyone who may knock. Generated from the route table.

Who is not let in is told so before storage is touched, and in the same words whether what it named is there or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from functions._http import Guards
from shared.access import DataAction, TokenAccess
from shared.adapters.openid_keys import OpenIdKeys
from shared.rights import ALL_ACTIONS
from tests.support.app_client import AppClient, Reply
from tests.support.counting import counting
from tests.support.dicom_builders import make_instance, new_uid
from tests.support.issuer import AUDIENCE, Identity, OpenIdIssuer, TokenMaker, identities, rsa_key, running_issuer
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping

    from functions._routes import Route
    from shared.audit import AccessRecord

NAMES: Final = sorted(identities(TokenMaker()))
KNOWN: Final = [name for name, identity in identities(TokenMaker()).items() if identity.may is not None]
STRANGERS: Final = sorted(set(NAMES) - set(KNOWN))
TRACE: Final = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
"""Fixed, so that answers can be compared as they are."""


@dataclass
class Service:
    """The closed app, the requests that its storage got, and the callers; one study is stored."""

    client: AppClient
    requests: Counter[str]
    callers: Mapping[str, Identity]
    stored: Mapping[str, str]

    async def send(self, method: str, path: str, caller: Identity) -> Reply:
        names = ("authorization", "Authorization")  # two keys, one name
        headers = dict(zip(names, caller.authorizations, strict=False))
        return await self.client.send(method, f"{path}?{caller.query}" if caller.query else path, {**TRACE, **headers})


def routes(client: AppClient) -> list[Route]:
    handlers: list[Any] = [f.get_user_function() for f in client.functions.values() if f.is_http_function()]
    return [handler.route for handler in handlers]


def path_of(route: Route, names: Mapping[str, str]) -> str:
    """Fill a template: ids as given, and for whatever else it asks for something that fits."""
    usual = {"version": "v2", "frames": "1", "path": "nothing/here"}
    return re.sub(r"\{\*?(\w+)[^}]*\}", lambda match: {**usual, **names}.get(match[1], "1"), route.readable)


def absent() -> dict[str, str]:
    return {"study": new_uid(), "series": new_uid(), "instance": new_uid()}


@pytest.fixture(scope="module")
def issuer() -> Iterator[OpenIdIssuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
async def service(issuer: OpenIdIssuer) -> Service:
    stores, requests = counting(memory_stores())
    stored = absent()
    ids = {"StudyInstanceUID": stored["study"], "SeriesInstanceUID": stored["series"], "SOPInstanceUID": stored["instance"]}
    assert (await AppClient(stores).store(make_instance(**ids))).status == 200
    client = AppClient(stores, access=TokenAccess(issuer.settings, OpenIdKeys(issuer.url)))
    issuer.makers = []
    return Service(client, requests, identities(issuer.maker()), stored)


ALL_ROUTES: Final = routes(AppClient())
CELLS: Final = [(route, method) for route in ALL_ROUTES for method in route.methods]


def test_the_matrix_is_no_empty_promise() -> None:
    assert len(CELLS) >= 40
    assert len(NAMES) >= 16
    assert {route.action for route in ALL_ROUTES} >= {DataAction.READ, DataAction.WRITE, DataAction.DELETE, DataAction.PUBLIC}
    assert all("{" not in path_of(route, absent()) for route in ALL_ROUTES)


def expected(route: Route, caller: Identity) -> int | None:
    """Give the status of a refusal; None where the caller is let in."""
    if route.action is DataAction.PUBLIC:
        return None
    if caller.may is None:
        return 401
    return None if route.action in caller.may else 403


@pytest.mark.parametrize("name", NAMES)
async def test_everyone_gets_the_answer_that_its_rights_ask_for(service: Service, name: str) -> None:
    caller, wrong = service.callers[name], []
    for route, method in CELLS:
        reply = await service.send(method, path_of(route, absent()), caller)
        refused = reply.status if reply.status in {401, 403} else None
        if refused != expected(route, caller) or reply.status == 500:
            wrong.append((route.name, method, reply.status))
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
async def test_a_refusal_touches_no_storage_and_tells_nothing(service: Service, name: str) -> None:
    caller = service.callers[name]
    refusals = [(route, method) for route, method in CELLS if expected(route, caller)]
    for route, method in refusals:
        service.requests.clear()
        there = await service.send(method, path_of(route, service.stored), caller)
        nowhere = await service.send(method, path_of(route, absent()), caller)
        assert (there.status, there.headers, there.body) == (nowhere.status, nowhere.headers, nowhere.body)
        assert service.requests == {}
    assert refusals or caller.may == ALL_ACTIONS


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_stranger_is_told_whom_to_ask(service: Service, issuer: OpenIdIssuer, name: str) -> None:
    reply = await service.send("GET", "/v2/studies", service.callers[name])
    challenge = f'Bearer authorization_uri="{issuer.url}", resource_id="{AUDIENCE}", realm="{AUDIENCE}"'
    assert reply.headers["www-authenticate"].startswith(challenge)
    assert ('error="invalid_token"' in reply.headers["www-authenticate"]) == bool(service.callers[name].authorizations)
    assert reply.json()["title"] == "Unauthorized"


async def test_a_caller_without_the_right_is_told_in_the_predecessors_words(service: Service) -> None:
    reply = await service.send("GET", "/v2/studies", service.callers["no roles"])
    assert (reply.status, reply.json()["detail"]) == (403, "Authorization failed.")
    assert "www-authenticate" not in reply.headers


@pytest.mark.parametrize("name", NAMES)
async def test_health_says_more_than_up_or_down_only_to_readers(service: Service, name: str) -> None:
    reply = await service.send("GET", "/health/check", service.callers[name])
    assert (reply.status, reply.json()["overallStatus"]) == (200, "Healthy")
    assert ("details" in reply.json()) == (DataAction.READ in (service.callers[name].may or ()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("method", "path", "status"), [("OPTIONS", "/v2/studies", 204), ("GET", "/v2/nothing", 404), ("PATCH", "/v2/studies", 405)]
)
async def test_what_is_no_resource_is_the_same_for_all(service: Service, name: str, method: str, path: str, status: int) -> None:
    assert (await service.send(method, path, service.callers[name])).status == status


@pytest.mark.parametrize("action", sorted(ALL_ACTIONS))
async def test_each_right_is_granted_by_the_role_of_everything(service: Service, issuer: OpenIdIssuer, action: DataAction) -> None:
    access = TokenAccess(issuer.settings, OpenIdKeys(issuer.url))
    assert await access.authorize(action, service.callers["admin"].authorizations[0])


async def test_while_no_keys_are_to_be_had_nobody_is_let_in_or_called_a_liar(service: Service, issuer: OpenIdIssuer) -> None:
    closed = AppClient(service.client.stores, access=TokenAccess(issuer.settings, OpenIdKeys("http://127.0.0.1:1")))
    for name in ("admin", "wrong key under the right id"):
        reply = await closed.send("GET", "/v2/studies", {"authorization": service.callers[name].authorizations[0]})
        assert (reply.status, reply.headers["retry-after"]) == (503, "10")
    assert (await closed.send("GET", "/v2/studies")).status == 401
    assert (await closed.send("GET", "/health/check")).status == 200


class Collected:
    """An audit trail that keeps its records at hand."""

    def __init__(self) -> None:
        self.records: list[AccessRecord] = []

    def admit(self) -> None:
        pass

    async def record(self, access: AccessRecord) -> None:
        self.records.append(access)

    async def check(self) -> None:
        pass


@pytest.mark.parametrize("name", NAMES)
async def test_the_audit_trail_says_who_was_refused_and_who_was_not(service: Service, issuer: OpenIdIssuer, name: str) -> None:
    trail, caller = Collected(), service.callers[name]
    access = TokenAccess(issuer.settings, OpenIdKeys(issuer.url))
    service.client = AppClient(service.client.stores, access=access, guards=Guards(audit=trail))
    for method, path in (("GET", "/v2/studies"), ("DELETE", f"/v2/studies/{new_uid()}"), ("GET", "/health/check")):
        reply = await service.send(method, path, caller)
        if path.startswith("/v2"):
            (record,) = trail.records
            assert (record.method, record.status) == (method, reply.status)
            assert record.caller.subject == (f"{issuer.url}#somebody" if caller.may is not None else "")
        else:
            assert trail.records == []
        trail.records.clear()


async def test_a_thousand_made_up_keys_are_one_request_to_the_issuer(service: Service, issuer: OpenIdIssuer) -> None:
    issuer.asked.clear()
    for number in range(1000):
        token = TokenMaker(issuer.url, rsa_key(99), f"made-up-{number}").token("admin")
        assert (await service.client.send("GET", "/v2/studies", {"authorization": f"Bearer {token}"})).status == 401
    assert issuer.fetches <= 2


async def test_the_answer_holds_nothing_of_the_token(service: Service) -> None:
    def words(identity: Identity) -> set[str]:
        return {word for text in identity.authorizations for word in re.findall(r"[\w-]{12,}", text)}

    for name in NAMES:
        reply = await service.send("GET", "/v2/studies", service.callers[name])
        said: Any = str(reply.headers) + reply.body.decode()
        assert not [word for word in words(service.callers[name]) if word in said]
