/**
 * Which resources a search finds. Medplum reads the parameters and evaluates their FHIRPath; how values are compared is ours, because
 * Medplum's tokens ignore case and escapes.
 *
 * FHIR R4 3.1.1 "Search": token, reference, string, date, uri; `:missing`, `:not`, `:exact`, `:contains`, `:identifier`; AND, OR, escapes.
 */

import { badRequest, evalFhirPathTyped, OperationOutcomeError, Operator } from '@medplum/core';
import { searchExpression, searchParameter } from './definitions.mjs';

const MATCHERS = { token: matchesToken, reference: matchesReference, string: matchesString, date: matchesDate, uri: matchesUri };

const MODIFIERS = {
  token: ['not', 'missing'],
  reference: ['identifier', 'missing'],
  string: ['exact', 'contains', 'missing'],
  date: ['missing'],
  uri: ['missing'],
};

/** Tell whether we can search by a parameter, named as in a query: `code` or `code:modifier`. An unknown modifier may not be ignored. */
export function isSearchable(type, name) {
  const [code, modifier] = name.split(':');
  const modifiers = MODIFIERS[searchParameter(type, code)?.type];
  if (modifiers && modifier !== undefined && !modifiers.includes(modifier)) throw wrong(`Modifier of ${name} is not supported`);
  return modifiers !== undefined;
}

/** Tell whether values of a search parameter's type can be compared here. */
export function isComparable(parameter) {
  return parameter.type in MATCHERS;
}

/** Give the resources that match a parsed search, sorted; not yet cut into pages. */
export function find(resources, { resourceType, filters = [], sortRules = [] }) {
  const tests = filters.map((filter) => testOf(resourceType, filter));
  const found = [...resources].filter((resource) => tests.every((matches) => matches(resource)));
  for (const rule of [...sortRules].reverse()) found.sort(comparator(resourceType, rule));
  return found;
}

function testOf(type, { code, operator, value }) {
  const parameter = searchParameter(type, code);
  const matcher = MATCHERS[parameter?.type];
  if (!matcher) throw wrong(`Search parameter ${code} is not supported`);
  if (!value) throw wrong(`Search parameter ${code} has no value`);
  if (operator === Operator.MISSING) return (resource) => (valuesOf(resource, parameter).length === 0) === (value === 'true');
  const choices = split(value, ',').map((choice) => matcher(choice, operator));
  const matches = (resource) => valuesOf(resource, parameter).some((item) => choices.some((choice) => choice(item)));
  return operator === Operator.NOT ? (resource) => !matches(resource) : matches;
}

const VALUES = new WeakMap(); // a stored resource never changes, so what was found in it stays true

function valuesOf(resource, parameter) {
  if (!VALUES.has(resource)) VALUES.set(resource, new Map());
  const known = VALUES.get(resource);
  if (!known.has(parameter)) {
    const found = evalFhirPathTyped(searchExpression(resource.resourceType, parameter), [{ type: resource.resourceType, value: resource }]);
    known.set(parameter, found.map(({ value }) => value).filter((value) => value !== undefined));
  }
  return known.get(parameter);
}

function matchesToken(choice) {
  const [first, ...rest] = split(choice, '|');
  const code = unescape(rest.length ? rest.join('|') : first);
  const isSystem = rest.length ? (token) => (token.system ?? '') === unescape(first) : () => true;
  return (item) => tokensOf(item).some((token) => isSystem(token) && (code === '' || token.code === code));
}

function tokensOf(item) {
  if (typeof item !== 'object') return [{ code: String(item) }];
  return (item.coding ?? [item]).map(({ system, code, value }) => ({ system, code: code ?? value }));
}

function matchesReference(choice, operator) {
  if (operator === Operator.IDENTIFIER) {
    const matches = matchesToken(choice);
    return ({ identifier }) => identifier !== undefined && matches(identifier);
  }
  const wanted = unescape(choice);
  return (item) => `/${item.reference ?? item}`.endsWith(`/${wanted}`);
}

function matchesString(choice, operator) {
  const wanted = unescape(choice);
  if (operator === Operator.EXACT) return (item) => stringsOf(item).includes(wanted);
  const folded = fold(wanted);
  const matches = operator === Operator.CONTAINS ? (text) => text.includes(folded) : (text) => text.startsWith(folded);
  return (item) => stringsOf(item).map(fold).some(matches);
}

function stringsOf(item) {
  if (typeof item !== 'object') return [String(item)];
  return Object.entries(item).flatMap(([name, part]) => (['use', 'extension', 'period'].includes(name) ? [] : stringsOf(part)));
}

function fold(text) {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}

function matchesUri(choice) {
  const wanted = unescape(choice);
  return (item) => item === wanted;
}

const COMPARISONS = {
  eq: (item, wanted) => item.from >= wanted.from && item.until <= wanted.until,
  ne: (item, wanted) => item.from < wanted.from || item.until > wanted.until,
  gt: (item, wanted) => item.until > wanted.until,
  ge: (item, wanted) => item.until >= wanted.from,
  lt: (item, wanted) => item.from < wanted.from,
  le: (item, wanted) => item.from <= wanted.until,
  sa: (item, wanted) => item.from > wanted.until,
  eb: (item, wanted) => item.until < wanted.from,
  ap: (item, wanted) => item.from <= wanted.until && item.until >= wanted.from,
};

function matchesDate(choice, operator) {
  const wanted = span(choice);
  const compare = COMPARISONS[operator];
  if (!compare || Number.isNaN(wanted.from)) throw wrong(`${choice} is no date`);
  return (item) => compare(span(item), wanted);
}

/** Give the first and the last millisecond that a date, a time or a Period stands for; what has no zone is taken for UTC. */
function span(item) {
  if (typeof item === 'object') {
    return { from: item.start ? span(item.start).from : -Infinity, until: item.end ? span(item.end).until : Infinity };
  }
  const [, year, month, day, time] = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(T.*)?)?)?$/.exec(item) ?? [];
  if (time) {
    const from = Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(time) ? item : `${item}Z`);
    return { from, until: from + (time.includes('.') ? 0 : 999) };
  }
  const after = day ? Date.UTC(year, month - 1, Number(day) + 1) : month ? Date.UTC(year, month) : Date.UTC(Number(year) + 1, 0);
  return { from: Date.UTC(year, (month ?? 1) - 1, day ?? 1), until: after - 1 };
}

function comparator(type, { code, descending }) {
  const parameter = searchParameter(type, code);
  if (!parameter) throw wrong(`Cannot sort by ${code}`);
  const key = (resource) => sortKey(parameter, valuesOf(resource, parameter)[0]);
  return (one, other) => (descending ? -1 : 1) * order(key(one), key(other));
}

function sortKey(parameter, item) {
  if (item === undefined) return undefined;
  return parameter.type === 'date' ? span(item).from : stringsOf(item).join(' ');
}

function order(one, other) {
  if (one === undefined || other === undefined) return (other === undefined) - (one === undefined);
  return one < other ? -1 : Number(one > other);
}

/** Split at a separator where no backslash stands before it; the escapes stay. */
function split(text, separator) {
  const parts = [''];
  for (const piece of text.match(/\\.|[^]/gsu) ?? []) {
    if (piece === separator) parts.push('');
    else parts[parts.length - 1] += piece;
  }
  return parts;
}

function unescape(text) {
  return text.replace(/\\([\\,$|])/g, '$1');
}

function wrong(text) {
  return new OperationOutcomeError(badRequest(text));
}
