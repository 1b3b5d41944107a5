"""Versions, resources and their URLs: path segments in, URLs out. Not: routing.

Whatever ends up in a URL that we send has passed a grammar first (UIDs, host names), so that no header
and no link can be made to hold anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.dicom.uids import parse_uid
from shared.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping


class ApiVersion(StrEnum):
    """Major version of the API: it alone decides on behaviour."""

    V1 = "v1"
    V2 = "v2"


SUPPORTED_VERSIONS = "1.0-prerelease, 1, 2"
"""Value of the response header ``api-supported-versions``."""

_VERSIONS = {
    "v1.0-prerelease": ApiVersion.V1,
    "v1": ApiVersion.V1,
    "v1.0": ApiVersion.V1,
    "v2": ApiVersion.V2,
    "v2.0": ApiVersion.V2,
}
_ANY_VERSION = re.compile(r"v[0-9]{1,9}(\.[0-9]{1,9})?(-[a-z0-9]{1,32})?", re.IGNORECASE | re.ASCII)


def parse_version(segment: str) -> ApiVersion:
    """Read the version segment of a path, in any case.

    Raises
    ------
    InvalidRequest
        It is a version that is not offered.
    NotFound
        It is no version at all.
    """
    version = _VERSIONS.get(segment.lower())
    if version is not None:
        return version
    if _ANY_VERSION.fullmatch(segment):
        raise InvalidRequest(f"This API version is not supported; supported are {SUPPORTED_VERSIONS}.")
    raise NotFound("There is no such resource; paths begin with the API version, such as /v2.")


@dataclass(frozen=True, slots=True)
class Resource:
    """A study, a series of it, or an instance of that; UIDs are valid ones.

    References
    ----------
    PS3.18 10.1.2 "Resources".
    """

    study_instance_uid: str
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None

    @classmethod
    def parse(cls, study: str, series: str | None = None, instance: str | None = None) -> Resource:
        """Check percent-decoded path segments; ``InvalidRequest`` where one is no UID."""
        return cls(
            parse_uid(study, "StudyInstanceUID"),
            None if series is None else parse_uid(series, "SeriesInstanceUID"),
            None if instance is None else parse_uid(instance, "SOPInstanceUID"),
        )

    @property
    def path(self) -> str:
        """Path below the version prefix, beginning with a slash."""
        return retrieve_url("", self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)


def retrieve_url(service_url: str, study: str, series: str | None = None, instance: str | None = None) -> str:
    """Give the URL of a resource; ``service_url`` as the function of that name makes it."""
    if series is None:
        return f"{service_url}/studies/{study}"
    if instance is None:
        return f"{service_url}/studies/{study}/series/{series}"
    return f"{service_url}/studies/{study}/series/{series}/instances/{instance}"


def service_url(public_base_url: str | None, headers: Mapping[str, str], prefix: str) -> str:
    """Give the absolute URL of the service, without a slash at its end.

    Parameters
    ----------
    public_base_url
        What the operator has set; wins over what the request says.
    headers
        Of the request, with lower-case names.
    prefix
        What stands between the base and ``/studies``: version, and partition where used, such as ``v2``.
    """
    base = public_base_url.rstrip("/") if public_base_url else _forwarded_base(headers)
    return f"{base}/{prefix}"


_HOST = re.compile(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def _forwarded_base(headers: Mapping[str, str]) -> str:
    scheme = _first(headers.get("x-forwarded-proto", "")).lower()
    host = _first(headers.get("x-forwarded-host", "")) or headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise InvalidRequest("The Host header, or X-Forwarded-Host, must be a host name with an optional port.")
    return f"{'https' if scheme == 'https' else 'http'}://{host}"


def _first(values: str) -> str:
    return values.split(",", maxsplit=1)[0].strip()


def parse_frame_numbers(segment: str) -> tuple[int, ...]:
    """Read the frame list of a path: one-based numbers in the order of the request; repeats are kept.

    Raises
    ------
    InvalidRequest
        One is no number, or below 1.

    References
    ----------
    PS3.18 10.4.1.1.6 "Pixel Data Resources".
    """
    numbers = tuple(_frame_number(part.strip()) for part in segment.split(","))
    if min(numbers) < 1:
        raise InvalidRequest("Frame numbers begin at 1.")
    return numbers


def _frame_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):  # IS holds at most 2**31 - 1
        raise InvalidRequest("Frames are a comma-separated list of whole numbers from 1 on.")
    return int(text)
