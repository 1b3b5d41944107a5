"""Search through the composed app: what the handler adds to the service."""

from __future__ import annotations

import pytest

from tests.support.app_client import AppClient
from tests.support.dicom_builders import make_instance, new_uid


@pytest.fixture
def client() -> AppClient:
    return AppClient()


async def test_each_search_resource_finds_what_was_stored(client: AppClient) -> None:
    study, series = new_uid(), new_uid()
    await client.store(*[make_instance(StudyInstanceUID=study, SeriesInstanceUID=series) for _ in range(2)])
    found = {
        "/v2/studies": 1,
        "/v2/series": 1,
        "/v2/instances": 2,
        f"/v2/studies/{study}/series": 1,
        f"/v2/studies/{study}/instances": 2,
        f"/v1/studies/{study}/series/{series}/instances": 2,
    }
    for url, count in found.items():
        reply = await client.get(url)
        assert (reply.status, len(reply.json()), reply.headers["content-type"]) == (200, count, "application/dicom+json")


async def test_nothing_found_is_204_without_a_body(client: AppClient) -> None:
    reply = await client.get("/v2/studies?PatientID=nobody")
    assert (reply.status, reply.body) == (204, b"")
    assert "content-length" not in reply.headers


async def test_a_page_that_is_not_the_last_says_so(client: AppClient) -> None:
    await client.store(make_instance(), make_instance())
    assert "additional results" in (await client.get("/v2/studies?limit=1")).headers["warning"]
    assert "warning" not in (await client.get("/v2/studies?limit=2")).headers


@pytest.mark.parametrize("query", ["Nonsense=1", "limit=0", "StudyDate=2024-01-01-02", "PatientName=a&PatientName=b"])
async def test_a_search_that_is_not_understood_is_400_and_does_not_echo(client: AppClient, query: str) -> None:
    reply = await client.get(f"/v2/studies?{query}")
    assert reply.status == 400
    assert b"2024-01-01-02" not in reply.body


async def test_another_media_type_is_406(client: AppClient) -> None:
    assert (await client.get("/v2/studies", accept="text/html")).status == 406
    assert (await client.get("/v2/studies?accept=application/dicom%2Bjson", accept="text/html")).status == 204
