/**
 * A FHIR R4 server for a local run and for tests: `node server.mjs [--data DIR] [--port N]`.
 *
 * Keeps its resources in memory, and in DIR where one is given. Prints `listening http://127.0.0.1:PORT/fhir` once it serves; ends when its
 * input ends or on SIGTERM.
 */

import { parseArgs } from 'node:util';
import { serve } from './http.mjs';
import { Journal } from './journal.mjs';
import { Repository } from './repository.mjs';

const GRACE_MILLISECONDS = 2_000;

const { values: chosen } = parseArgs({ options: { data: { type: 'string' }, port: { type: 'string', default: '0' } } });

try {
  const repository = new Repository(chosen.data && new Journal(chosen.data));
  const { server, base } = await serve(repository, Number(chosen.port));
  const stop = () => {
    server.close(() => process.exit(0)); // what is in work is answered first
    setTimeout(() => process.exit(0), GRACE_MILLISECONDS).unref();
  };
  process.on('SIGTERM', stop);
  process.stdin.on('end', stop).resume();
  process.stdout.on('error', () => {}); // nobody reads it any more
  console.log(`listening ${base}`);
} catch (error) {
  console.error(`The FHIR server cannot start: ${error.message}`);
  process.exit(1);
}
