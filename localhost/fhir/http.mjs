/** FHIR over HTTP, for this machine alone: from a Node request to an interaction, and its outcome back. */

import { createServer } from 'node:http';
import { badRequest, getStatus, isOk, normalizeOperationOutcome, notFound, OperationOutcomeError } from '@medplum/core';
import { capabilityStatement } from './capabilities.mjs';
import { locationOf, prefers, versionTag } from './headers.mjs';
import { Interactions } from './interactions.mjs';

export const ADDRESS = '127.0.0.1';
const BASE_PATH = '/fhir';
const LARGEST_BODY = 50 * 1024 * 1024;
const KEEP_ALIVE_MILLISECONDS = 130_000; // longer than clients keep an idle connection, so that none is closed under them
const OUR_NAMES = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i; // any other name was rebound to this address by a foreign page
const JSON_TYPE = /^application\/(fhir\+)?json\s*(;|$)/i;
const FORM_TYPE = /^application\/x-www-form-urlencoded\s*(;|$)/i;

/** Listen on a port of this machine, 0 for any; give the server and its base URL. */
export async function serve(repository, port) {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MILLISECONDS });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, ADDRESS, resolve));
  const base = `http://${ADDRESS}:${server.address().port}${BASE_PATH}`;
  const interactions = new Interactions(base);
  let latest = Promise.resolve(); // one request at a time: no write comes between another's look and its write
  const inTurn = (work) => (latest = latest.then(work, work));
  const run = (request) => inTurn(() => interactions.handleRequest(request, repository));
  server.on('request', (request, response) => answer(request, response, base, run));
  return { server, base };
}

async function answer(request, response, base, run) {
  try {
    send(response, await answerOf(request, base, run));
  } catch (error) {
    const outcome = normalizeOperationOutcome(error);
    request.resume(); // what was not read: many clients send all before they look for an answer
    send(response, { status: error.status ?? getStatus(outcome), body: outcome });
  }
}

async function answerOf(request, base, run) {
  if (!OUR_NAMES.test(request.headers.host ?? '')) throw refusal(421, 'This server answers for this machine alone');
  const url = pathBelowBase(request.url);
  if (request.method === 'GET' && url.split('?')[0] === '/metadata') return { status: 200, body: capabilityStatement(base) };
  const { method, headers } = request;
  const body = ['POST', 'PUT'].includes(method) ? parse(headers, await read(request)) : undefined;
  const asked = { method, url, pathname: '', params: {}, query: {}, headers, body, config: { transactions: true } };
  const [outcome, resource] = await run(asked);
  if (!isOk(outcome)) return { status: getStatus(outcome), body: outcome };
  if (!resource) return { status: 204 };
  const isWrite = method !== 'GET' && resource.resourceType !== 'Bundle';
  const answered = isWrite ? preferred(headers, outcome, resource) : resource;
  return { status: getStatus(outcome), headers: versionHeaders(resource, base), body: answered };
}

function pathBelowBase(url) {
  const path = url.slice(BASE_PATH.length);
  if (!url.startsWith(BASE_PATH) || !/^([/?]|$)/.test(path)) throw new OperationOutcomeError(notFound);
  return path;
}

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > LARGEST_BODY) throw refusal(413, 'The body is larger than 50 MB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parse({ 'content-type': type = '' }, text) {
  if (FORM_TYPE.test(type)) return fields(text);
  if (!JSON_TYPE.test(type)) throw refusal(415, 'A body is application/fhir+json; that of a search, application/x-www-form-urlencoded');
  const body = parseJson(text);
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
  if (!isObject) throw new OperationOutcomeError(badRequest('The body is no resource'));
  return body;
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new OperationOutcomeError(badRequest('The body is not JSON'));
  }
}

function fields(text) {
  const form = new URLSearchParams(text);
  return Object.fromEntries([...form.keys()].map((name) => [name, form.getAll(name)]));
}

function versionHeaders(resource, base) {
  if (!resource.meta?.versionId) return {};
  const { lastUpdated } = resource.meta;
  return { ETag: versionTag(resource), Location: `${base}/${locationOf(resource)}`, 'Last-Modified': new Date(lastUpdated).toUTCString() };
}

function preferred(headers, outcome, resource) {
  if (prefers(headers, 'return', 'minimal')) return undefined;
  return prefers(headers, 'return', 'OperationOutcome') ? outcome : resource;
}

function refusal(status, text) {
  return Object.assign(new OperationOutcomeError(badRequest(text)), { status });
}

function send(response, { status, headers = {}, body }) {
  const text = body && JSON.stringify(body);
  response.writeHead(status, { ...headers, ...(text && { 'Content-Type': 'application/fhir+json; charset=utf-8' }) });
  response.end(text);
}
