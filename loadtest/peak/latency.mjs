// How long an answer takes at half of peak, quiet and while the flags are replaced ten times a second.
//
//   node loadtest/peak/latency.mjs [--flags 200] [--seconds 10]

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';

import { eventually, runThenEnd, scratchFolder, sleep } from '../../e2e/lib/processes.mjs';
import { Stub } from '../../e2e/lib/stub.mjs';
import { makePayload } from '../fixtures.mjs';
import { MODES, ownHeaders, sendAll, writeRequests } from './asks.mjs';
import { CLIENT_CORE, example, introduce, SERVER_CORE, start, startCeiling } from './programs.mjs';
import { latencyTable } from './report.mjs';
import { differentContexts } from './throughput.mjs';
import { round } from './wrk.mjs';

const FEATURES = '/api/client/features';
const REPLACED_EVERY_MS = 100;
/** So many different payloads in turn: whoever polls never sees the one it has. */
const EDITIONS = 8;
const CONNECTIONS = 32;
const PEAK_SECONDS = 3;

/** Payloads that differ in which flags are on. */
export function editions({ features, segments }) {
  return Array.from({ length: EDITIONS }, (_, edition) => Stub.prepare(
    features.map((feature, n) => (n % EDITIONS === edition ? { ...feature, enabled: !feature.enabled } : feature)), segments,
  ));
}

/** Serves another payload every so often until it is stopped. */
export function replacing(stub, payloads, everyMs) {
  let replaced = 0;
  const timer = setInterval(() => {
    replaced += 1;
    stub.serveAgain(payloads[replaced % payloads.length]);
  }, everyMs);
  return () => clearInterval(timer);
}

/** How often whoever polls came to hold another payload since the request number `from`. */
export function updatesTaken(stub, from) {
  const held = stub.requests.slice(from).filter(({ path }) => path === FEATURES).map(({ headers }) => headers['if-none-match']);
  return held.filter((tag, n) => n > 0 && tag !== held[n - 1]).length;
}

async function pace(program, file, rate, seconds) {
  const { stdout } = await promisify(execFile)('taskset', ['-c', CLIENT_CORE, example('pace'), '--to', `127.0.0.1:${program.port}`,
    '--requests', file, '--rate', String(rate), '--seconds', String(seconds), '--connections', String(CONNECTIONS)]);
  const result = JSON.parse(stdout);
  if (result.refused > 0) throw new Error(`${program.name}: ${result.refused} of ${result.answered} refused`);
  return result;
}

/**
 * @returns rows: the ceiling at the same pace, Offleash quiet and busy on one core, and with two
 *   cores, where its sync does not share the worker's
 */
export async function latency({ flags, queries, seconds, say }) {
  const payload = makePayload(flags);
  const payloads = editions(payload);
  const stub = await Stub.start();
  introduce(stub);
  stub.serve(payload.features, payload.segments);
  const file = join(scratchFolder('requests'), 'paced');
  const rows = [];
  let peak = 0;
  for (const cores of [SERVER_CORE, `${SERVER_CORE},${CLIENT_CORE}`]) {
    const program = await start('offleash-proxy', stub.url, { cores, workers: 1, pollMs: REPLACED_EVERY_MS });
    const asks = queries.map((query) => MODES.plain.ask(program, query));
    writeRequests(file, asks);
    if (!peak) {
      peak = (await round(program, file, { seconds: PEAK_SECONDS, connections: CONNECTIONS })).perSecond;
      say(`peak is ${peak.toFixed(0)}/s, half of it ${(peak / 2).toFixed(0)}/s`);
      const [answer] = await sendAll(program, asks.slice(0, 1));
      const ceiling = await startCeiling({ status: answer.status, headers: ownHeaders(answer), body: answer.body });
      rows.push({ program: 'ceiling', title: 'ceiling', upstream: 'none', cores, updatesPerSecond: null, ...await pace(ceiling, file, peak / 2, seconds) });
      await ceiling.child.stop();
    }
    const row = { program: program.name, title: program.title, cores };
    rows.push({ ...row, upstream: 'quiet', updatesPerSecond: 0, ...await pace(program, file, peak / 2, seconds) });
    const stop = replacing(stub, payloads, REPLACED_EVERY_MS);
    await sleep(2 * REPLACED_EVERY_MS);
    const from = stub.requests.length;
    const began = performance.now();
    const busy = await pace(program, file, peak / 2, seconds);
    const updatesPerSecond = updatesTaken(stub, from) / ((performance.now() - began) / 1000);
    stop();
    if (updatesPerSecond < 0.9 * (1000 / REPLACED_EVERY_MS)) say(`only ${updatesPerSecond.toFixed(1)} updates a second were taken`);
    rows.push({ ...row, upstream: 'replaced', updatesPerSecond, ...busy });
    await eventually('the last flags are taken', () => stub.isTaken());
    await program.child.stop();
  }
  await stub.stop();
  return { flags, seconds, peak, rows };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({ options: { flags: { type: 'string', default: '200' }, seconds: { type: 'string', default: '10' }, contexts: { type: 'string', default: '100000' } } });
  await runThenEnd(async () => {
    const result = await latency({ flags: Number(values.flags), seconds: Number(values.seconds), queries: differentContexts(Number(values.contexts)), say: console.log });
    console.log(latencyTable(result));
    return 0;
  });
}
