"""The contract of the TableStore port."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shared.errors import AlreadyPresent, NotPresent, PreconditionFailed, StorageFailure, StorageLimit
from shared.ports import Create, Operation, Remove, Replace, Upsert

if TYPE_CHECKING:
    from shared.ports import Entity, Properties, Scalar, TableStore

TABLE = "catalog"


async def put(tables: TableStore, partition: str, rows: dict[str, Properties]) -> None:
    await tables.upsert_many(TABLE, [(partition, row_key, properties) for row_key, properties in rows.items()])


async def get(tables: TableStore, partition: str, row_key: str) -> Entity:
    entity = await tables.get(TABLE, partition, row_key)
    assert entity is not None
    return entity


async def test_absent_row_is_none(tables: TableStore, partition: str) -> None:
    assert await tables.get(TABLE, partition, "nothing") is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text",
        "Müller^Jörg=三郎",
        'it\'s "quoted" \\ and\nbroken\tup',
        0,
        -1,
        2**31,
        2**53 + 1,
        -(2**63),
        2**63 - 1,
        1.5,
        2.0,
        -1e300,
        True,
        False,
        b"",
        b"\x00\xff",
        bytes(range(256)) * 256,
        "x" * 32768,
    ],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:12]!r}",
)
async def test_value_comes_back_as_it_was_and_of_its_type(tables: TableStore, partition: str, value: Scalar) -> None:
    await put(tables, partition, {"row": {"value": value}})
    back = (await get(tables, partition, "row")).properties["value"]
    assert back == value
    assert type(back) is type(value)


async def test_row_has_its_keys_all_its_properties_and_no_others(tables: TableStore, partition: str) -> None:
    properties: Properties = {"a": "1", "b": 2, "c": b"3", "d": b"", "e": 4.5, "f": True}
    await put(tables, partition, {"row": properties})
    entity = await get(tables, partition, "row")
    assert (entity.partition_key, entity.row_key) == (partition, "row")
    assert dict(entity.properties) == properties


async def test_row_may_have_no_properties(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"row": {}})
    assert dict((await get(tables, partition, "row")).properties) == {}


@pytest.mark.parametrize("select", [["a"], ["c"], ["a", "c"], ["missing"], ["a", "missing"]])
async def test_selection_gives_the_selected_properties_that_exist(tables: TableStore, partition: str, select: list[str]) -> None:
    properties: Properties = {"a": "1", "b": 2, "c": b"3", "d": b"4"}
    await put(tables, partition, {"row": properties})
    expected = {name: properties[name] for name in select if name in properties}
    whole = await get(tables, partition, "row")
    one = await tables.get(TABLE, partition, "row", select=select)
    (many,) = await tables.get_many(TABLE, [(partition, "row")], select=select)
    ((paged,),) = [page async for page in tables.pages(TABLE, partition, select=select)]
    for entity in (one, many, paged):
        assert entity is not None
        assert dict(entity.properties) == expected
        assert (entity.row_key, entity.etag) == ("row", whole.etag)


async def test_binary_of_one_row_may_be_text_in_another(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"binary": {"value": b"x"}, "text": {"value": "x"}})
    entities = await tables.get_many(TABLE, [(partition, "binary"), (partition, "text")], select=["value"])
    assert [entity and entity.properties["value"] for entity in entities] == [b"x", "x"]


async def test_upsert_overwrites_the_whole_row_and_changes_its_etag(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"row": {"a": 1, "b": b"2"}})
    before = await get(tables, partition, "row")
    await put(tables, partition, {"row": {"a": 1}})
    after = await get(tables, partition, "row")
    assert dict(after.properties) == {"a": 1}
    assert after.etag != before.etag


async def test_upsert_of_the_same_values_changes_the_etag(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"row": {"a": 1}})
    before = await get(tables, partition, "row")
    await tables.transact(TABLE, partition, [Upsert("row", {"a": 1})])
    assert (await get(tables, partition, "row")).etag != before.etag


async def test_many_rows_come_in_the_order_asked_for(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {f"{n:03}": {"n": n} for n in range(50)})
    wanted = [f"{n:03}" for n in (40, 7, 60, 7)]
    entities = await tables.get_many(TABLE, [(partition, row_key) for row_key in wanted])
    assert [entity and entity.properties["n"] for entity in entities] == [40, 7, None, 7]


async def test_same_row_key_in_two_partitions_are_two_rows(tables: TableStore, partition: str) -> None:
    await tables.upsert_many(TABLE, [(partition, "row", {"n": 1}), (f"{partition}x", "row", {"n": 2})])
    assert (await get(tables, partition, "row")).properties["n"] == 1
    assert (await get(tables, f"{partition}x", "row")).properties["n"] == 2


async def test_same_keys_in_two_tables_are_two_rows(tables: TableStore, partition: str) -> None:
    await tables.upsert_many("search", [(partition, "row", {"n": 1})])
    assert await tables.get("feed", partition, "row") is None


async def test_pages_give_all_rows_in_order(tables: TableStore, partition: str) -> None:
    row_keys = [f"{n:03}" for n in range(25)]
    await put(tables, partition, {row_key: {} for row_key in reversed(row_keys)})
    pages = [[entity.row_key for entity in page] async for page in tables.pages(TABLE, partition, page_size=10)]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [row_key for page in pages for row_key in page] == row_keys


async def test_pages_of_an_empty_range_are_none(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"b": {}})
    assert [page async for page in tables.pages(TABLE, partition, start="c")] == []


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        ("", None, ["A", "a", "a~1", "a~2", "b", "c'd"]),
        ("a~", "a~\x7f", ["a~1", "a~2"]),
        ("a", "b", ["a", "a~1", "a~2"]),
        ("a~2", None, ["a~2", "b", "c'd"]),
        ("c'", None, ["c'd"]),
        ("", "a", ["A"]),
        ("b", "a", []),
    ],
)
async def test_range_includes_its_start_and_not_its_stop(
    tables: TableStore, partition: str, start: str, stop: str | None, expected: list[str]
) -> None:
    await put(tables, partition, {row_key: {} for row_key in ("c'd", "a~2", "A", "a", "b", "a~1")})
    found = [entity.row_key async for page in tables.pages(TABLE, partition, start=start, stop=stop) for entity in page]
    assert found == expected


async def test_transaction_does_everything_and_gives_new_etags(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"replaced": {"n": 1}, "removed": {}, "upserted": {"n": 1}})
    replaced, removed = await get(tables, partition, "replaced"), await get(tables, partition, "removed")
    etags = await tables.transact(
        TABLE,
        partition,
        [
            Create("created", {"n": 2, "blob": b"2"}),
            Replace("replaced", {"n": 2}, replaced.etag),
            Remove("removed", removed.etag),
            Upsert("upserted", {"n": 2}),
        ],
    )
    rows = {entity.row_key: entity async for page in tables.pages(TABLE, partition) for entity in page}
    assert sorted(rows) == ["created", "replaced", "upserted"]
    assert {entity.properties["n"] for entity in rows.values()} == {2}
    assert etags == [rows["created"].etag, rows["replaced"].etag, "", rows["upserted"].etag]


FAILURES: list[tuple[str, Operation, type[StorageFailure]]] = [
    ("create-what-is-there", Create("present", {}), AlreadyPresent),
    ("replace-what-changed", Replace("present", {}, "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""), PreconditionFailed),
    ("replace-what-is-gone", Replace("absent", {}, "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""), NotPresent),
    ("remove-what-changed", Remove("present", "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""), PreconditionFailed),
    ("remove-what-is-gone", Remove("absent", "*"), NotPresent),
]


@pytest.mark.parametrize(("failing", "error"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
async def test_transaction_that_fails_names_the_operation_and_leaves_no_trace(
    tables: TableStore, partition: str, failing: Operation, error: type[StorageFailure]
) -> None:
    await put(tables, partition, {"present": {"n": 1}})
    before = await get(tables, partition, "present")
    with pytest.raises(error) as raised:
        await tables.transact(TABLE, partition, [Create("new", {}), Upsert("other", {}), failing])
    assert type(raised.value) is error
    assert raised.value.index == 2
    rows = [entity async for page in tables.pages(TABLE, partition) for entity in page]
    assert [(row.row_key, row.etag) for row in rows] == [("present", before.etag)]


async def test_error_of_the_first_failing_operation_is_raised(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"present": {}})
    with pytest.raises(AlreadyPresent) as raised:
        await tables.transact(TABLE, partition, [Upsert("other", {}), Create("present", {}), Remove("absent", "*")])
    assert raised.value.index == 1


async def test_of_two_writers_with_one_etag_the_second_fails(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"row": {"n": 0}})
    etag = (await get(tables, partition, "row")).etag
    results = await asyncio.gather(
        *(tables.transact(TABLE, partition, [Replace("row", {"n": n}, etag)]) for n in (1, 2)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["PreconditionFailed", "list"]


async def test_any_etag_removes(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"row": {}})
    assert await tables.transact(TABLE, partition, [Remove("row", "*")]) == [""]
    assert await tables.get(TABLE, partition, "row") is None


async def test_hundred_operations_are_one_transaction(tables: TableStore, partition: str) -> None:
    etags = await tables.transact(TABLE, partition, [Create(f"{n:03}", {"text": "x" * 100, "bytes": b"x" * 1000}) for n in range(100)])
    assert etags == [entity.etag async for page in tables.pages(TABLE, partition) for entity in page]


async def test_removal_of_many_ignores_absent_ones(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"a": {}, "b": {}, "c": {}})
    await tables.remove_many(TABLE, [(partition, "a"), (partition, "nothing"), (partition, "c")])
    assert [entity.row_key async for page in tables.pages(TABLE, partition) for entity in page] == ["b"]


async def test_verbs_on_nothing_do_nothing(tables: TableStore) -> None:
    await tables.upsert_many(TABLE, [])
    await tables.remove_many(TABLE, [])
    assert await tables.get_many(TABLE, []) == []


async def test_what_was_written_is_read_at_once_and_after_durable(tables: TableStore, partition: str) -> None:
    await put(tables, partition, {"row": {"n": 1}})
    assert (await get(tables, partition, "row")).properties["n"] == 1
    await tables.durable()
    assert (await get(tables, partition, "row")).properties["n"] == 1


async def test_table_is_empty_until_the_first_row(tables: TableStore, partition: str) -> None:
    async for page in tables.pages("feed", "only"):
        await tables.remove_many("feed", [("only", entity.row_key) for entity in page])
    assert await tables.is_empty("feed")
    await tables.upsert_many("feed", [("only", "row", {})])
    assert not await tables.is_empty("feed")


async def test_check_passes_for_our_tables_and_fails_for_others(tables: TableStore) -> None:
    await tables.check(TABLE)
    with pytest.raises(NotPresent):
        await tables.check("nosuchtable")


async def test_unknown_table_is_not_an_absent_row(tables: TableStore) -> None:
    with pytest.raises(NotPresent):
        await tables.get("nosuchtable", "p", "r")


TOO_MUCH: list[tuple[str, str, Properties]] = [
    ("slash-in-key", "a/b", {}),
    ("backslash-in-key", "a\\b", {}),
    ("hash-in-key", "a#b", {}),
    ("question-mark-in-key", "a?b", {}),
    ("control-character-in-key", "a\x7fb", {}),
    ("long-key", "x" * 513, {}),
    ("253-properties", "row", {f"p{n}": n for n in range(253)}),
    ("long-text", "row", {"text": "x" * 32769}),
    ("long-text-of-surrogate-pairs", "row", {"text": "\U0001f600" * 16385}),
    ("long-binary", "row", {"binary": bytes(65537)}),
    ("large-entity", "row", {f"p{n}": bytes(65536) for n in range(16)}),
    ("odd-name", "row", {"a-b": 1}),
    ("reserved-name", "row", {"Timestamp": "now"}),
    ("large-integer", "row", {"n": 2**63}),
    ("not-a-number", "row", {"n": float("nan")}),
    ("half-a-character", "row", {"text": "\ud800"}),
]


@pytest.mark.parametrize(("row_key", "properties"), [row[1:] for row in TOO_MUCH], ids=[row[0] for row in TOO_MUCH])
async def test_entity_over_a_limit_is_refused_and_nothing_written(
    tables: TableStore, partition: str, row_key: str, properties: Properties
) -> None:
    with pytest.raises(StorageLimit):
        await tables.upsert_many(TABLE, [(partition, "fine", {}), (partition, row_key, properties)])
    with pytest.raises(StorageLimit):
        await tables.transact(TABLE, partition, [Create("fine", {}), Create(row_key, properties)])
    assert [page async for page in tables.pages(TABLE, partition)] == []


WRONG_TRANSACTIONS: list[tuple[str, list[Operation]]] = [
    ("empty", []),
    ("101-operations", [Upsert(f"{n}", {}) for n in range(101)]),
    ("a-row-twice", [Upsert("a", {}), Remove("a", "*")]),
    ("over-4-MiB-as-encoded", [Upsert(f"{n}", {"binary": bytes(64_000)}) for n in range(50)]),
]


@pytest.mark.parametrize("operations", [row[1] for row in WRONG_TRANSACTIONS], ids=[row[0] for row in WRONG_TRANSACTIONS])
async def test_transaction_over_a_limit_is_refused(tables: TableStore, partition: str, operations: list[Operation]) -> None:
    with pytest.raises(StorageLimit):
        await tables.transact(TABLE, partition, operations)


async def test_large_legal_entity_is_taken(tables: TableStore, partition: str) -> None:
    properties: Properties = {f"p{n}": bytes(65_536) for n in range(11)}
    await put(tables, partition, {"row": properties})
    assert dict((await get(tables, partition, "row")).properties) == properties


@pytest.mark.parametrize("page_size", [0, 1001])
async def test_page_size_is_limited(tables: TableStore, partition: str, page_size: int) -> None:
    with pytest.raises(StorageLimit):
        await anext(tables.pages(TABLE, partition, page_size=page_size))


async def test_thousand_rows_are_one_page(tables: TableStore, partition: str) -> None:
    for first in range(0, 1000, 100):
        await tables.transact(TABLE, partition, [Create(f"{n:04}", {"n": n}) for n in range(first, first + 100)])
    (page,) = [page async for page in tables.pages(TABLE, partition)]
    assert [entity.properties["n"] for entity in page] == list(range(1000))
