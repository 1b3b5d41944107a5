"""Delete, and the change feed that tells of it, through the composed app."""

from __future__ import annotations

import pytest

from tests.support.app_client import AppClient
from tests.support.dicom_builders import make_instance, new_uid


@pytest.fixture
def client() -> AppClient:
    return AppClient()


def uids() -> dict[str, str]:
    return {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}


@pytest.mark.parametrize("levels", [1, 2, 3])
async def test_what_was_deleted_is_gone_and_a_second_delete_is_404(client: AppClient, levels: int) -> None:
    own = uids()
    await client.store(make_instance(**own))
    pairs = zip(("studies", "series", "instances"), own.values(), strict=True)
    url = "/v2/" + "/".join(f"{name}/{uid}" for name, uid in list(pairs)[:levels])
    assert ((await client.send("DELETE", url)).status, (await client.send("DELETE", url)).status) == (204, 404)
    assert (await client.get(url)).status == 404


async def test_a_bad_uid_is_400(client: AppClient) -> None:
    assert (await client.send("DELETE", "/v2/studies/1.2.x")).status == 400


async def test_the_feed_tells_create_update_and_delete_and_the_state_of_now(client: AppClient) -> None:
    first, second = uids(), uids()
    await client.store(make_instance(**first))
    await client.store(make_instance(**second))
    await client.store(make_instance(**second, InstanceNumber=2), method="PUT")
    await client.send("DELETE", f"/v2/studies/{first['StudyInstanceUID']}")
    entries = (await client.get("/v2/changefeed")).json()
    assert [(e["sequence"], e["action"], e["state"], "metadata" in e) for e in entries] == [
        (1, "Create", "Deleted", False),
        (2, "Create", "Replaced", True),
        (3, "Update", "Current", True),
        (4, "Delete", "Deleted", False),
    ]
    assert entries[1]["metadata"]["00200013"]["Value"] == [2]
    assert entries[0]["partitionName"] == "Microsoft.Default"
    assert entries[0]["studyInstanceUid"] == first["StudyInstanceUID"]
    assert (await client.get("/v2/changefeed/latest")).json()["sequence"] == 4


async def test_an_instance_stored_again_leaves_its_deletion_replaced(client: AppClient) -> None:
    own = uids()
    for method in ("POST", "DELETE", "POST"):
        if method == "POST":
            await client.store(make_instance(**own))
        else:
            await client.send("DELETE", f"/v2/studies/{own['StudyInstanceUID']}")
    entries = (await client.get("/v1/changefeed")).json()
    assert [e["state"] for e in entries] == ["Replaced", "Replaced", "Current"]


async def test_an_empty_feed_is_an_empty_array_and_its_newest_entry_204(client: AppClient) -> None:
    assert (await client.get("/v2/changefeed")).json() == []
    assert (await client.get("/v2/changefeed/latest")).status == 204


@pytest.mark.parametrize(
    ("url", "sequences"),
    [
        ("/v1/changefeed?offset=2&limit=3", [3, 4, 5]),
        ("/v1/changefeed", list(range(1, 11))),
        ("/v1/changefeed?offset=11", [12]),
        ("/v2/changefeed?offset=2&limit=3", [3, 4, 5]),
        ("/v2/changefeed", list(range(1, 13))),
        ("/v2/changefeed?startTime=2000-01-01T00:00:00Z&endTime=9999-12-31T00:00:00%2B00:00&limit=1", [1]),
        ("/v2/changefeed?startTime=9999-01-01T00:00:00Z", []),
        ("/v2/changefeed?endTime=2000-01-01T00:00:00.1234567 00:00", []),
        ("/v1/changefeed?startTime=9999-01-01T00:00:00Z&limit=1", [1]),
    ],
)
async def test_a_window_of_the_feed(client: AppClient, url: str, sequences: list[int]) -> None:
    study = new_uid()
    await client.store(*[make_instance(StudyInstanceUID=study) for _ in range(12)])
    entries = (await client.get(url.replace(" ", "+") + ("&" if "?" in url else "?") + "includeMetadata=false")).json()
    assert [e["sequence"] for e in entries] == sequences
    assert not any("metadata" in e for e in entries)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "offset=-1",
        "offset=1.5",
        "includeMetadata=1",
        "limit=1&limit=2",
        "startTime=2024-01-01T00:00:00",
        "startTime=yesterday",
        "startTime=2024-01-02T00:00:00Z&endTime=2024-01-01T00:00:00Z",
    ],
)
async def test_a_parameter_out_of_range_is_400(client: AppClient, query: str) -> None:
    assert (await client.get(f"/v2/changefeed?{query}")).status == 400


async def test_version_1_has_its_own_limit(client: AppClient) -> None:
    assert (await client.get("/v1/changefeed?limit=101")).status == 400
