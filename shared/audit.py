"""What the audit trail asks and gives: one record for each access. No code; ``shared/services/audit.py`` keeps them.

UIDs identify people: they belong here, with an access of its own, and not into diagnostic logs.

References
----------
PS3.15 A.5 "Audit Trail Message Format Profile".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from shared.access import Caller, DataAction


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One access, or one refusal of it.

    Attributes
    ----------
    transaction
        The HTTP function's name, such as ``store_instances``.
    action
        The right that was asked for.
    studies
        Study Instance UIDs concerned, where the request names or brings any.
    status
        HTTP status of the answer.
    operation
        Id that the answer and the diagnostic log have too.
    """

    at: datetime
    caller: Caller
    transaction: str
    method: str
    action: DataAction
    studies: Sequence[str]
    status: int
    operation: str


class AuditTrail(Protocol):
    """Keeps records of accesses."""

    def admit(self) -> None:
        """Let a request begin.

        Raises
        ------
        Busy
            What it does could not be recorded now, and the operator wants such accesses refused.
        """
        ...

    async def record(self, access: AccessRecord) -> None:
        """Keep a record: of writes, deletes and refusals before this returns, of reads at most five seconds later.

        Raises
        ------
        Busy
            It cannot be written now, and the operator wants such accesses refused. It is kept all the same, and written later.
        """
        ...

    async def check(self) -> None:
        """Raise ``Busy`` while records cannot be written (health probe)."""
        ...
