"""Names of all containers, tables and queues: what has to exist before the archive runs."""

from __future__ import annotations

DICOM, INBOX = "dicom", "inbox"
CONTAINERS = (DICOM, "metadata", INBOX, "inbox-rejected", "archive", "audit")
TABLES = ("catalog", "search", "feed", "jobs", "fhirsync", "fhirsyncissues")
INBOX_EVENTS = "inbox-events"
"""Queue of the blobs that appeared in ``inbox``; on Azure, Event Grid fills it where the network is private."""
QUEUES = ("settle", "settle-poison", INBOX_EVENTS, "inbox-events-poison")
