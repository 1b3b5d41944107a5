/** All resources with all their versions, in memory and in a journal. Requests reach it one after the other. */

import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { badRequest, gone, notFound, OperationOutcomeError, preconditionFailed, serverError, validationRegexes } from '@medplum/core';
import { FhirRepository } from '@medplum/fhir-router';
import { find } from './search.mjs';
import { validate } from './validation.mjs';

/**
 * A version is `{ method, resource }`: what made it, and the resource as it then was; a deleted one has type, id and meta alone.
 * What is stored is never changed afterwards.
 */
export class Repository extends FhirRepository {
  #versions = new Map(); // type -> id -> versions, oldest first
  #journal;
  #transaction;
  #created = new WeakSet();

  /** Start with what the journal holds; without one nothing is kept. */
  constructor(journal) {
    super();
    for (const version of [...(journal?.committed ?? [])].flat()) this.#push(version);
    this.#journal = journal;
  }

  setMode() {}

  generateId() {
    return randomUUID();
  }

  /** Do what the callback does wholly or not at all. */
  async withTransaction(callback) {
    if (this.#transaction) return callback();
    this.#transaction = [];
    try {
      const result = await callback();
      this.#commit(this.#transaction);
      return result;
    } catch (error) {
      for (const { resource } of this.#transaction) this.#versionsOf(resource.resourceType, resource.id).pop();
      throw error;
    } finally {
      this.#transaction = undefined;
    }
  }

  async createResource(resource, options) {
    const id = (options?.assignedId && resource.id) || this.generateId();
    return this.withTransaction(async () => this.#write('POST', { ...resource, id }));
  }

  async updateResource(resource, options) {
    if (!validationRegexes.id.test(resource.id)) throw new OperationOutcomeError(badRequest('The id is not valid', 'Resource.id'));
    const current = this.#living(resource.resourceType, resource.id);
    checkMatch(current, options);
    if (current && isDeepStrictEqual(content(current), content(resource))) {
      this.#created.delete(current);
      return current;
    }
    return this.withTransaction(async () => this.#write('PUT', resource));
  }

  /** Delete; what is not there, or was deleted before, is left so. */
  async deleteResource(resourceType, id, options) {
    const current = this.#living(resourceType, id);
    checkMatch(current, options);
    if (current) await this.withTransaction(async () => this.#add('DELETE', { resourceType, id }));
  }

  async readResource(resourceType, id) {
    return readable(this.#versionsOf(resourceType, id).at(-1));
  }

  async readVersion(resourceType, id, versionId) {
    return readable(this.#versionsOf(resourceType, id)[versionId - 1]);
  }

  /** Give the versions of a resource, newest first; not a Bundle of them. */
  async readHistory(resourceType, id) {
    const versions = this.#versionsOf(resourceType, id);
    if (!versions.length) throw new OperationOutcomeError(notFound);
    return [...versions].reverse();
  }

  async search(request) {
    const found = find(this.#livingOf(request.resourceType), request);
    const from = request.offset ?? 0;
    const entry = found.slice(from, from + (request.count ?? found.length)).map((resource) => ({ resource }));
    return { resourceType: 'Bundle', type: 'searchset', total: found.length, entry };
  }

  /** Tell whether the resource that a write just gave was not there before. */
  wasCreated(resource) {
    return this.#created.has(resource);
  }

  #write(method, resource) {
    validate(resource);
    const isNew = !this.#living(resource.resourceType, resource.id);
    const written = this.#add(method, resource);
    if (isNew) this.#created.add(written);
    return written;
  }

  #add(method, { resourceType, id, meta, ...rest }) {
    const versionId = String(this.#versionsOf(resourceType, id).length + 1);
    const resource = { resourceType, id, meta: { ...meta, versionId, lastUpdated: new Date().toISOString() }, ...rest };
    const version = { method, resource };
    this.#push(version);
    this.#transaction.push(version);
    return resource;
  }

  #push(version) {
    const { resourceType, id } = version.resource;
    if (!this.#versions.has(resourceType)) this.#versions.set(resourceType, new Map());
    const ofType = this.#versions.get(resourceType);
    if (!ofType.has(id)) ofType.set(id, []);
    ofType.get(id).push(version);
  }

  #commit(transaction) {
    if (!this.#journal || !transaction.length) return;
    try {
      this.#journal.append(transaction);
    } catch (error) {
      throw new OperationOutcomeError(serverError(error));
    }
  }

  #versionsOf(resourceType, id) {
    return this.#versions.get(resourceType)?.get(id) ?? [];
  }

  #living(resourceType, id) {
    const latest = this.#versionsOf(resourceType, id).at(-1);
    return latest?.method === 'DELETE' ? undefined : latest?.resource;
  }

  *#livingOf(resourceType) {
    for (const id of this.#versions.get(resourceType)?.keys() ?? []) {
      const resource = this.#living(resourceType, id);
      if (resource) yield resource;
    }
  }
}

function readable(version) {
  if (!version) throw new OperationOutcomeError(notFound);
  if (version.method === 'DELETE') throw new OperationOutcomeError(gone);
  return version.resource;
}

/** Throw an outcome of status 412 unless the resource is there in the version that is asked for; `*` asks for any. */
function checkMatch(current, options) {
  const wanted = options?.ifMatch;
  if (wanted && (!current || (wanted !== '*' && wanted !== current.meta.versionId))) throw new OperationOutcomeError(preconditionFailed);
}

/** Give what a client decides of a resource. */
function content({ meta, ...rest }) {
  const { versionId, lastUpdated, ...ours } = meta ?? {};
  return { ...rest, meta: ours };
}
