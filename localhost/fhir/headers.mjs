/** FHIR's use of HTTP headers: versions, locations, preferences. */

import { badRequest, OperationOutcomeError } from '@medplum/core';

/** Give the ETag of a resource. */
export function versionTag({ meta }) {
  return `W/"${meta.versionId}"`;
}

/** Give the address of a resource's version, relative to the base. */
export function locationOf({ resourceType, id, meta }) {
  return `${resourceType}/${id}/_history/${meta.versionId}`;
}

/** Give the version that `If-Match` asks for, `*` for any, or undefined. */
export function wantedVersion(headers) {
  const text = headers?.['if-match']?.trim();
  if (!text || text === '*') return text || undefined;
  const version = /^(?:W\/)?"([^"]+)"$/.exec(text)?.[1];
  if (!version) throw new OperationOutcomeError(badRequest('If-Match takes one version, as in W/"3"'));
  return version;
}

/** Tell whether `Prefer` asks for a choice, such as `return=minimal`. */
export function prefers(headers, name, choice) {
  return `${headers?.prefer ?? ''}`.split(/[,;]/).some((part) => part.trim() === `${name}=${choice}`);
}
