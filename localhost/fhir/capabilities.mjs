/** What the server says of itself: `GET /metadata`. */

import { getSearchParameters } from '@medplum/core';
import { FHIR_VERSION, RESOURCE_TYPES } from './definitions.mjs';
import { isComparable } from './search.mjs';

const STARTED = new Date().toISOString();
const INTERACTIONS = ['read', 'vread', 'update', 'delete', 'history-instance', 'create', 'search-type'];

/** Make the CapabilityStatement of the server at a base URL. */
export function capabilityStatement(base) {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: STARTED,
    kind: 'instance',
    software: { name: 'Local FHIR server of dicomweb-functions' },
    implementation: { description: 'For a local run and for tests', url: base },
    fhirVersion: FHIR_VERSION,
    format: ['json'],
    rest: [
      {
        mode: 'server',
        resource: [...RESOURCE_TYPES].sort().map(abilitiesOf),
        interaction: ['transaction', 'batch'].map((code) => ({ code })),
      },
    ],
  };
}

function abilitiesOf(type) {
  const searchParam = Object.values(getSearchParameters(type) ?? {})
    .filter(isComparable)
    .map((parameter) => ({ name: parameter.code, type: parameter.type }));
  return {
    type,
    interaction: INTERACTIONS.map((code) => ({ code })),
    versioning: 'versioned-update',
    readHistory: true,
    updateCreate: true,
    conditionalCreate: true,
    conditionalUpdate: true,
    conditionalDelete: 'single',
    ...(searchParam.length && { searchParam }),
  };
}
