/** An append-only file of what was committed: a line of JSON per transaction, handed to the operating system before the answer goes out. */

import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const NEWLINE = '\n'.charCodeAt(0);

export class Journal {
  #file;
  #size;

  /** Open the journal of a folder, which is made where it is missing; a line that a crash cut short is dropped. */
  constructor(folder) {
    mkdirSync(folder, { recursive: true });
    this.path = join(folder, 'journal.ndjson');
    const content = existsSync(this.path) ? readFileSync(this.path) : Buffer.alloc(0);
    this.#size = content.lastIndexOf(NEWLINE) + 1;
    this.committed = lines(content.subarray(0, this.#size));
    this.#file = openSync(this.path, 'a');
    ftruncateSync(this.#file, this.#size);
  }

  /** Add one transaction, wholly or not at all. */
  append(transaction) {
    const line = Buffer.from(`${JSON.stringify(transaction)}\n`);
    try {
      for (let written = 0; written < line.length; ) written += writeSync(this.#file, line, written);
    } catch (error) {
      truncateSync(this.path, this.#size);
      throw error;
    }
    this.#size += line.length;
  }

  close() {
    closeSync(this.#file);
  }
}

function* lines(content) {
  for (let start = 0, number = 1, end; (end = content.indexOf(NEWLINE, start)) >= 0; start = end + 1, number++) {
    try {
      yield JSON.parse(content.subarray(start, end));
    } catch {
      throw new Error(`Line ${number} of the journal is damaged; --empty starts anew.`);
    }
  }
}
