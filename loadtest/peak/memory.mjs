// Whether memory stays where it is: many varied requests while the flags are replaced many times.
//
//   node loadtest/peak/memory.mjs [--flags 1000] [--requests 1000000] [--updates 1000]
//
// Exit code 2 when Offleash holds more than it may, or grows.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { eventually, runThenEnd, scratchFolder } from '../../e2e/lib/processes.mjs';
import { MODES, writeRequests } from './asks.mjs';
import { residentBytes, start } from './programs.mjs';
import { memoryTable, MIB } from './report.mjs';
import { differentContexts } from './throughput.mjs';
import { Upstream } from './upstream.mjs';
import { round } from './wrk.mjs';

const WORKERS = 2;
const CONNECTIONS = 64;
const ROUND_SECONDS = 5;
const REPLACED_EVERY_MS = 100;
const SAMPLED_EVERY_MS = 250;
const MOST_BYTES = 20 * MIB;
/** Until then the heap comes to what updates take: this part of the samples is left out. */
const SETTLES_WITHIN = 0.1;
/** More than this between the first third and the last of the others is growth, not noise. */
const FLAT_WITHIN = 1.05;
/** A tag that no answer has: the answer is compared, and then whole. */
const STALE = '"0123456789abcdef0123456789abcdef"';

const mean = (numbers) => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;

/** @returns what was held in the first and the last third of the run once it has settled, and at most in all of it; bytes */
export async function memory({ flags, queries, requests, updates, say }) {
  const upstream = await Upstream.start(flags);
  const program = await start('offleash-proxy', upstream.url, { cores: '0,1', workers: WORKERS, pollMs: REPLACED_EVERY_MS });
  const file = join(scratchFolder('requests'), 'varied');
  const modes = Object.values(MODES);
  writeRequests(file, queries.map((query, n) => modes[n % modes.length].ask(program, query, STALE)));

  const samples = [];
  const sampler = setInterval(() => samples.push(residentBytes(program.child.pid)), SAMPLED_EVERY_MS);
  await upstream.replaceEvery(REPLACED_EVERY_MS);
  const began = performance.now();
  let asked = 0;
  let taken = 0;
  while (asked < requests || taken < updates) {
    asked += (await round(program, file, { seconds: ROUND_SECONDS, connections: CONNECTIONS })).requests;
    taken = await upstream.updatesTaken();
    say(`${asked} requests, ${taken} updates, ${(samples.at(-1) / MIB).toFixed(1)} MiB`);
  }
  const seconds = (performance.now() - began) / 1000;
  clearInterval(sampler);
  await upstream.hold();
  await eventually('the last flags are taken', () => upstream.isTaken());
  const settled = samples.slice(Math.ceil(SETTLES_WITHIN * samples.length));
  const third = Math.floor(settled.length / 3);
  const [firstThird, lastThird] = [mean(settled.slice(0, third)), mean(settled.slice(-third))];
  const result = {
    workers: WORKERS, flags, requests: asked, updates: taken, seconds, firstThird, lastThird,
    max: Math.max(...samples), isFlat: lastThird <= FLAT_WITHIN * firstThird, samples,
  };
  await program.child.stop();
  await upstream.stop();
  return result;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: {
      flags: { type: 'string', default: '1000' }, requests: { type: 'string', default: '1000000' },
      updates: { type: 'string', default: '1000' }, contexts: { type: 'string', default: '100000' },
    },
  });
  await runThenEnd(async () => {
    const result = await memory({
      flags: Number(values.flags), queries: differentContexts(Number(values.contexts)),
      requests: Number(values.requests), updates: Number(values.updates), say: (line) => console.error(line),
    });
    console.log(memoryTable(result));
    if (result.max > MOST_BYTES) console.error(`more than ${MOST_BYTES / MIB} MiB`);
    if (!result.isFlat) console.error('it grows');
    return result.max > MOST_BYTES || !result.isFlat ? 2 : 0;
  });
}
