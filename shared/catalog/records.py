"""The rows of table ``catalog`` as values, and back.

Every row carries its schema version: readers take all older ones, writers write the newest.
Attributes are kept as a DICOM JSON object (PS3.18 Annex F), ready to be sent.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.ports import Entity, Scalar

SCHEMA = 1

DicomJson: TypeAlias = dict[str, dict[str, Any]]
"""A dataset in the DICOM JSON model: tag (8 hex digits) → ``{"vr": …, "Value": […]}``."""

MAX_INLINE_METADATA = 48 * 1024
MAX_INLINE_FRAMES = 32 * 1024
"""Bytes above which metadata and frame tables go to the ``metadata`` container instead of the row."""


def join_elements(elements: Mapping[str, bytes]) -> bytes:
    """Make a DICOM JSON object of its elements, in the order of tags."""
    return b"{" + b",".join(b'"%b":%b' % (tag.encode(), elements[tag]) for tag in sorted(elements)) + b"}"


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """One study: its attributes, exact counts and version.

    ``newest`` is the RowKey of the instance stored last; it may be gone since.
    """

    study_instance_uid: str
    attributes: bytes = b"{}"
    series_per_modality: dict[str, int] = field(default_factory=dict)
    series_count: int = 0
    instance_count: int = 0
    sk: str = ""
    version: int = 0
    created_ms: int = 0
    changed_ms: int = 0
    key_id: str = ""
    newest: str = ""
    partition_key: str = ""
    etag: str = ""

    @property
    def exists(self) -> bool:
        """Whether the study has instances; an emptied row stays, so that versions do not restart."""
        return self.instance_count > 0

    def dataset(self) -> DicomJson:
        """Parse the study-level attributes."""
        parsed: DicomJson = orjson.loads(self.attributes)
        return parsed

    def properties(self) -> dict[str, Scalar]:
        """Give the row as it is stored."""
        return {
            "schema": SCHEMA,
            "study_instance_uid": self.study_instance_uid,
            "attributes": self.attributes,
            "modalities": orjson.dumps(self.series_per_modality).decode(),
            "series_count": self.series_count,
            "instance_count": self.instance_count,
            "sk": self.sk,
            "version": self.version,
            "created_ms": self.created_ms,
            "changed_ms": self.changed_ms,
            "key_id": self.key_id,
            "newest": self.newest,
        }

    @classmethod
    def from_entity(cls, entity: Entity) -> StudyRecord:
        """Read the row."""
        p: Any = entity.properties
        return cls(
            study_instance_uid=p["study_instance_uid"],
            attributes=p["attributes"],
            series_per_modality=orjson.loads(p["modalities"]),
            series_count=p["series_count"],
            instance_count=p["instance_count"],
            sk=p["sk"],
            version=p["version"],
            created_ms=p["created_ms"],
            changed_ms=p["changed_ms"],
            key_id=p["key_id"],
            newest=p["newest"],
            partition_key=entity.partition_key,
            etag=entity.etag,
        )


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """One series of a study; ``version`` is the study's when the series last changed, ``newest`` as in the study."""

    series_instance_uid: str
    attributes: bytes = b"{}"
    modality: str = ""
    instance_count: int = 0
    version: int = 0
    created_ms: int = 0
    newest: str = ""
    etag: str = ""

    def dataset(self) -> DicomJson:
        """Parse the series-level attributes."""
        parsed: DicomJson = orjson.loads(self.attributes)
        return parsed

    def properties(self) -> dict[str, Scalar]:
        """Give the row as it is stored."""
        return {
            "schema": SCHEMA,
            "series_instance_uid": self.series_instance_uid,
            "attributes": self.attributes,
            "modality": self.modality,
            "instance_count": self.instance_count,
            "version": self.version,
            "created_ms": self.created_ms,
            "newest": self.newest,
        }

    @classmethod
    def from_entity(cls, entity: Entity) -> SeriesRecord:
        """Read the row."""
        p: Any = entity.properties
        return cls(
            series_instance_uid=p["series_instance_uid"],
            attributes=p["attributes"],
            modality=p["modality"],
            instance_count=p["instance_count"],
            version=p["version"],
            created_ms=p["created_ms"],
            newest=p["newest"],
            etag=entity.etag,
        )


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One instance: where its blob lies, what it is, its attributes and metadata.

    A field whose column was not selected has its default. ``metadata_deflated`` is None where it was not
    selected or lies in the ``metadata`` container (then ``metadata_blob``); likewise ``frames``.
    ``version`` is the study's version that stored the instance: it serves as its watermark.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    blob_name: str = ""
    size_bytes: int = 0
    sha256: bytes = b""
    version: int = 0
    created_ms: int = 0
    attributes: bytes = b"{}"
    metadata_deflated: bytes | None = None
    metadata_blob: bool = False
    frames: bytes | None = None
    frames_blob: bool = False
    etag: str = ""

    def dataset(self) -> DicomJson:
        """Parse the instance-level attributes (not the whole metadata)."""
        parsed: DicomJson = orjson.loads(self.attributes)
        return parsed

    def metadata(self) -> bytes:
        """Inflate the metadata kept in the row: one DICOM JSON object."""
        if self.metadata_deflated is None:
            raise ValueError("metadata was not selected, or lies in its own blob")
        return zlib.decompress(self.metadata_deflated)

    @property
    def metadata_blob_name(self) -> str:
        """Name, in container ``metadata``, of metadata too big for the row (zlib-deflated DICOM JSON)."""
        return self.blob_name.removesuffix(".dcm") + ".json.z"

    @property
    def frames_blob_name(self) -> str:
        """Name, in container ``metadata``, of a frame table too big for the row."""
        return self.blob_name.removesuffix(".dcm") + ".frames"

    def properties(self) -> dict[str, Scalar]:
        """Give the row as it is stored; absent optional parts are left out."""
        row: dict[str, Scalar] = {
            "schema": SCHEMA,
            "study_instance_uid": self.study_instance_uid,
            "series_instance_uid": self.series_instance_uid,
            "sop_instance_uid": self.sop_instance_uid,
            "sop_class_uid": self.sop_class_uid,
            "transfer_syntax_uid": self.transfer_syntax_uid,
            "blob_name": self.blob_name,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "version": self.version,
            "created_ms": self.created_ms,
            "attributes": self.attributes,
            "metadata_blob": self.metadata_blob,
            "frames_blob": self.frames_blob,
        }
        if self.metadata_deflated is not None and not self.metadata_blob:
            row["metadata"] = self.metadata_deflated
        if self.frames is not None and not self.frames_blob:
            row["frames"] = self.frames
        return row

    @classmethod
    def from_entity(cls, entity: Entity) -> InstanceRecord:
        """Read the row, or the selected columns of it."""
        p: Any = entity.properties
        return cls(
            study_instance_uid=p["study_instance_uid"],
            series_instance_uid=p["series_instance_uid"],
            sop_instance_uid=p["sop_instance_uid"],
            sop_class_uid=p.get("sop_class_uid", ""),
            transfer_syntax_uid=p.get("transfer_syntax_uid", ""),
            blob_name=p.get("blob_name", ""),
            size_bytes=p.get("size_bytes", 0),
            sha256=p.get("sha256", b""),
            version=p.get("version", 0),
            created_ms=p.get("created_ms", 0),
            attributes=p.get("attributes", b"{}"),
            metadata_deflated=p.get("metadata"),
            metadata_blob=p.get("metadata_blob", False),
            frames=p.get("frames"),
            frames_blob=p.get("frames_blob", False),
            etag=entity.etag,
        )


_IDENTITY = ("study_instance_uid", "series_instance_uid", "sop_instance_uid", "version")
LOCATION = (*_IDENTITY, "sop_class_uid", "transfer_syntax_uid", "blob_name", "size_bytes", "created_ms", "frames_blob")
"""Columns to retrieve the file of an instance."""
FRAMES = (*LOCATION, "frames", "attributes")
"""Columns to retrieve frames."""
METADATA = (*_IDENTITY, "blob_name", "metadata", "metadata_blob")
"""Columns to answer ``/metadata``."""
FACTS = (*METADATA, "sop_class_uid", "created_ms", "size_bytes")
"""Columns to project a study to FHIR."""
SLIM = _IDENTITY
"""Columns to put instances in order."""
SEARCH = (*_IDENTITY, "sop_class_uid", "transfer_syntax_uid", "created_ms", "attributes", "blob_name", "metadata_blob")
"""Columns to answer a search."""
