/**
 * Is a resource valid R4? Medplum checks structure, primitives, reference targets and a resource's invariants; we, the codes of required
 * bindings, the invariants of data types, and that nothing is empty.
 */

import {
  businessRule,
  evalFhirPathTyped,
  isEmpty,
  OperationOutcomeError,
  parseFhirPath,
  tryGetDataType,
  UCUM,
  validateResource,
} from '@medplum/core';
import { JSON_SCHEMAS } from './definitions.mjs';

const UNPROCESSABLE = businessRule('', '').id; // Medplum answers 422 for outcomes of this id
const LEFT_TO_MEDPLUM = ['ele-1', 'ref-1'];
const REFERS_ELSEWHERE = /^Invalid reference: got "(https?|urn):/;
const VARIABLES = { '%ucum': { type: 'uri', value: UCUM } };

/** Throw an outcome of status 422 that lists what is wrong. */
export function validate(resource) {
  const { resourceType } = resource;
  const found = [...medplumsIssues(resource), ...issuesOf(resource, JSON_SCHEMAS[resourceType], resourceType)];
  if (found.length) {
    throw new OperationOutcomeError({ resourceType: 'OperationOutcome', id: UNPROCESSABLE, issue: found });
  }
}

/** Give what Medplum finds; its warnings, as of a reference to a wrong type, are errors in FHIR. */
function medplumsIssues(resource) {
  const found = findings(resource).filter(({ details }) => !REFERS_ELSEWHERE.test(details?.text));
  return found.map((one) => ({ ...one, severity: 'error' }));
}

function findings(resource) {
  try {
    return validateResource(resource);
  } catch (error) {
    if (error instanceof OperationOutcomeError) return error.outcome.issue;
    return [issue('structure', error.message)]; // the validator stumbled over it
  }
}

function* issuesOf(value, schema, path) {
  for (const [name, child] of Object.entries(value)) {
    const property = schema?.properties?.[name];
    const { enum: codes, $ref } = property?.items ?? property ?? {};
    const place = `${path}.${name}`;
    if (isEmpty(child)) yield issue('structure', 'Empty', place);
    for (const item of [child].flat()) {
      if (typeof item === 'object' && item !== null) {
        const type = item.resourceType ?? $ref?.split('/').at(-1);
        yield* brokenInvariants(item, type, place);
        yield* issuesOf(item, JSON_SCHEMAS[type], place);
      } else if (codes && item !== null && !codes.includes(item)) {
        yield issue('code-invalid', `Not one of ${codes.join(', ')}`, place);
      }
    }
  }
}

function* brokenInvariants(value, type, place) {
  for (const { key, description, holds } of invariantsOf(type)) {
    const [answer] = evalFhirPathTyped(holds, [{ type, value }], VARIABLES);
    if (answer?.value !== true) yield issue('invariant', `${key}: ${description}`, place);
  }
}

const INVARIANTS = new Map();

function invariantsOf(type) {
  if (!INVARIANTS.has(type)) {
    const constraints = tryGetDataType(type)?.constraints ?? [];
    const ours = constraints.filter(({ key, severity }) => severity === 'error' && !LEFT_TO_MEDPLUM.includes(key));
    INVARIANTS.set(type, ours.map((one) => ({ ...one, holds: parseFhirPath(one.expression) })));
  }
  return INVARIANTS.get(type);
}

function issue(code, text, expression) {
  return { severity: 'error', code, details: { text }, ...(expression && { expression: [expression] }) };
}
