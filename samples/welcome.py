"""Store the sample study over STOW-RS unless the service has it, and print what to try: ``python -m samples.welcome URL``.

A closed service gets the token of the environment variable ``DICOMWEB_TOKEN``.

References
----------
PS3.18 10.5 "Store Transaction"; 10.6 "Search Transaction".
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from pydicom import dcmread

_STUDY_FOLDER = Path(__file__).resolve().parent / "study"
_BOUNDARY = "sample-study"
_TIMEOUT_SECONDS = 60


def main(url: str) -> int:
    """Store and greet; give the exit code."""
    files = sorted(_STUDY_FOLDER.rglob("*.dcm"))
    study_instance_uid = str(dcmread(files[0], specific_tags=["StudyInstanceUID"], stop_before_pixels=True).StudyInstanceUID)
    if _count_instances(url, study_instance_uid) < len(files):
        _say(f"Storing the sample study: {len(files)} instances.")
        status = _store(url, files)
        if status != http.client.OK:
            _say(f"The service answered {status}.")
            return 1
    _say(greeting(url, study_instance_uid, files[0]))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 -- a command line's way to speak


def _count_instances(url: str, study_instance_uid: str) -> int:
    status, body = _call(url, "GET", f"/v2/studies/{study_instance_uid}/instances", headers={"Accept": "application/dicom+json"})
    return len(json.loads(body)) if status == http.client.OK and body else 0


def _store(url: str, files: list[Path]) -> int:
    parts = (b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (_BOUNDARY.encode(), file.read_bytes()) for file in files)
    body = b"".join(parts) + b"--%b--\r\n" % _BOUNDARY.encode()
    media_type = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
    return _call(url, "POST", "/v2/studies", body, {"Content-Type": media_type})[0]


def _call(url: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body, {**(headers or {}), **_authorization()})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _authorization() -> dict[str, str]:
    token = os.environ.get("DICOMWEB_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def greeting(url: str, study_instance_uid: str, file: Path) -> str:
    """Give what to try with the service, with the FHIR server of the environment, and with a file of the study."""
    closed = bool(_authorization())
    curl = 'curl -H "Authorization: Bearer $TOKEN"' if closed else "curl"
    where = "in another terminal, with one of the tokens above as TOKEN" if closed else "in another terminal"
    return f"""
The archive serves DICOMweb at {url}/v2. Try, {where}:

  store a file    {curl} -X PUT -H 'Content-Type: application/dicom' --data-binary @{_shown(file)} {url}/v2/studies
  search          {curl} '{url}/v2/studies?PatientName=Sample*'
  fetch metadata  {curl} {url}/v2/studies/{study_instance_uid}/metadata
{_fhir_hint(study_instance_uid)}
Ctrl-C stops it; what was stored stays."""


def _fhir_hint(study_instance_uid: str) -> str:
    """Give the line that shows the study in FHIR, where the host is kept in step with a FHIR server."""
    fhir_url = os.environ.get("FHIR_BASE_URL", "").rstrip("/")
    if not fhir_url:
        return ""
    return f"  see it in FHIR  curl '{fhir_url}/ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:{study_instance_uid}'\n"


def _shown(file: Path) -> Path:
    """Shorten a path where it lies below the current folder."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
