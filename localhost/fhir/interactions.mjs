/** Medplum's FHIR router, with handlers of our own where FHIR asks for more than it does. A handler gives `[outcome, resource]`. */

import {
  allOk,
  badRequest,
  created,
  DEFAULT_MAX_SEARCH_COUNT,
  DEFAULT_SEARCH_COUNT,
  isOk,
  notFound,
  OperationOutcomeError,
  parseSearchRequest,
} from '@medplum/core';
import { FhirRouter, processBatch, updateResourceImpl } from '@medplum/fhir-router';
import { RESOURCE_TYPES } from './definitions.mjs';
import { locationOf, prefers, versionTag, wantedVersion } from './headers.mjs';
import { isSearchable } from './search.mjs';

const OURS = { batch, update, delete: remove, 'search-type': search, 'history-instance': history };
const MEDPLUMS = ['create', 'read', 'vread'];
const RESULT_PARAMETERS = ['_count', '_offset', '_sort', '_summary', '_total', '_format', '_pretty'];

/** Finds the handler of a request, also of an entry in a Bundle. */
export class Interactions extends FhirRouter {
  /** The base URL is what links and full URLs begin with. */
  constructor(base) {
    super();
    this.base = base;
  }

  find(method, url) {
    const route = super.find(method, url);
    if (!route) return undefined;
    const { resourceType } = route.params;
    if (resourceType !== undefined && !RESOURCE_TYPES.has(resourceType)) throw new OperationOutcomeError(notFound);
    const { interaction } = route.data;
    const handler = MEDPLUMS.includes(interaction) ? route.handler : OURS[interaction];
    return handler && { ...route, handler };
  }
}

async function batch(request, repository, router) {
  const bundle = request.body;
  if (bundle.resourceType !== 'Bundle') return [badRequest('Only a Bundle can be posted here')];
  if (!bundle.entry?.every((entry) => entry?.request?.method && entry.request.url)) return [badRequest('Each entry needs a request')];
  const { entry, ...answer } = await processBatch(request, repository, router, bundle);
  const minimal = prefers(request.headers, 'return', 'minimal');
  return [allOk, { ...answer, entry: entry.map((one, index) => answerOf(one, minimal && bundle.entry[index].request.method !== 'GET')) }];
}

function answerOf({ resource, response: { status, outcome } }, minimal) {
  if (!isOk(outcome)) return { response: { status, outcome } };
  if (!resource) return { response: { status: '204' } };
  const { versionId, lastUpdated } = resource.meta ?? {};
  const version = versionId && { location: locationOf(resource), etag: versionTag(resource), lastModified: lastUpdated };
  return { ...(!minimal && { resource }), response: { status, ...version } };
}

async function update({ params, query, body, headers }, repository, _router, options) {
  const { resourceType, id } = params;
  const ifMatch = wantedVersion(headers);
  const [outcome, resource] = id
    ? await updateResourceImpl(resourceType, id, body, repository, { ifMatch })
    : await conditionalUpdate(resourceType, query, body, repository, { ifMatch, assignedId: options?.batch });
  return repository.wasCreated(resource) ? [created, resource] : [outcome, resource];
}

async function conditionalUpdate(type, query, resource, repository, options) {
  const updated = await repository.conditionalUpdate(resource, criteria(type, query), options);
  return [updated.outcome, updated.resource];
}

async function remove({ params: { resourceType, id }, query, headers }, repository) {
  if (id) await repository.deleteResource(resourceType, id, { ifMatch: wantedVersion(headers) });
  else await repository.conditionalDelete(criteria(resourceType, query));
  return [allOk];
}

function criteria(type, query) {
  const request = parseSearchRequest(type, query);
  if (!request.filters) throw new OperationOutcomeError(badRequest('Search criteria are needed'));
  return request;
}

async function search({ method, params: { resourceType }, query, body, headers }, repository, router) {
  const given = Object.entries(method === 'POST' ? { ...query, ...body } : (query ?? {}));
  const known = given.filter(([name]) => RESULT_PARAMETERS.includes(name) || isSearchable(resourceType, name));
  if (known.length < given.length && prefers(headers, 'handling', 'strict')) return [badRequest('Unknown search parameter')];
  const used = known.filter(([, value]) => value !== '');
  const request = parseSearchRequest(resourceType, Object.fromEntries(used));
  const { offset = 0, count = DEFAULT_SEARCH_COUNT } = request;
  if (!(offset >= 0 && count >= 0)) return [badRequest('_count and _offset are numbers')];
  const page = { ...request, offset, count: Math.min(count, DEFAULT_MAX_SEARCH_COUNT) };
  const { entry, ...bundle } = await repository.search(page);
  const url = `${router.base}/${resourceType}`;
  const entries = entry.map(({ resource }) => ({ fullUrl: `${url}/${resource.id}`, resource, search: { mode: 'match' } }));
  return [allOk, { ...bundle, link: links(url, used, page, bundle.total), ...(entries.length && { entry: entries }) }];
}

function links(url, used, { offset, count }, total) {
  const query = new URLSearchParams(used.flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
  const link = [{ relation: 'self', url: withQuery(url, query) }];
  if (count > 0 && offset + count < total) {
    query.set('_offset', offset + count);
    link.push({ relation: 'next', url: withQuery(url, query) });
  }
  return link;
}

function withQuery(url, query) {
  return query.size ? `${url}?${query}` : url;
}

async function history({ params: { resourceType, id } }, repository, router) {
  const versions = await repository.readHistory(resourceType, id);
  const fullUrl = `${router.base}/${resourceType}/${id}`;
  const entry = versions.map(({ method, resource }) => ({
    fullUrl,
    ...(method !== 'DELETE' && { resource }),
    request: { method, url: method === 'POST' ? resourceType : `${resourceType}/${id}` },
    response: { status: method === 'DELETE' ? '204' : '200', etag: versionTag(resource), lastModified: resource.meta.lastUpdated },
  }));
  return [allOk, { resourceType: 'Bundle', type: 'history', total: entry.length, entry }];
}
