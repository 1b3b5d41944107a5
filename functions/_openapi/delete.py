"""What is said of the delete transaction."""

from __future__ import annotations

from functions._openapi.description import Operation, Response, Section

_GONE = Response(204, "Nothing of it is left. The same UIDs may be stored again at once.")


def _delete(summary: str) -> Operation:
    return Operation(summary, (_GONE,))


SECTION = Section(
    "Delete",
    "An extension.",
    {
        ("delete_study", "DELETE"): _delete("Delete a study"),
        ("delete_series", "DELETE"): _delete("Delete a series"),
        ("delete_instance", "DELETE"): _delete("Delete an instance"),
    },
)
