"""Data actions, and the roles that grant them. Not: who has which role, and which route needs what."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias


class DataAction(StrEnum):
    """What a caller may be allowed to do; ``PUBLIC`` needs no right."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    MANAGE_EXTENDED_QUERY_TAGS = "manageExtendedQueryTags"
    EXPORT = "export"
    PUBLIC = "public"


Roles: TypeAlias = Mapping[str, frozenset[DataAction]]
"""Name of a role → what it grants."""

ALL_ACTIONS: Final = frozenset(DataAction) - {DataAction.PUBLIC}

DEFAULT_ROLES: Final[Roles] = {
    "globalReader": frozenset({DataAction.READ}),
    "globalWriter": frozenset({DataAction.READ, DataAction.WRITE}),
    "globalAdmin": ALL_ACTIONS,
}
"""The predecessor's two roles, and one for senders between them."""

_GRANTS: Final = {"*": ALL_ACTIONS} | {str(action): frozenset({action}) for action in ALL_ACTIONS}
_ROLE_NAME = re.compile(r"[!-~]{1,128}", re.ASCII)


def parse_roles(text: str) -> Roles:
    """Read a JSON object of roles, each with the list of its data actions; a ValueError says what is wrong."""
    try:
        roles = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("must be JSON") from None
    if not isinstance(roles, dict) or not roles or not all(map(_ROLE_NAME.fullmatch, roles)):
        raise ValueError("must be a JSON object whose names are names of roles, without blanks")
    return {name: _granted(actions) for name, actions in roles.items()}


def _granted(actions: object) -> frozenset[DataAction]:
    if not isinstance(actions, list) or not all(isinstance(action, str) and action in _GRANTS for action in actions):
        raise ValueError(f"must give each role a list of data actions, which are {', '.join(sorted(_GRANTS))}")
    return frozenset().union(*(_GRANTS[action] for action in actions))
