// How long an answer takes at half of peak, quiet and while the flags are replaced ten times a second.
//
//   node loadtest/peak/latency.mjs [--flags 200] [--seconds 10]

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';

import { eventually, runThenEnd, scratchFolder, sleep } from '../../e2e/lib/processes.mjs';
import { MODES, ownHeaders, sendAll, writeRequests } from './asks.mjs';
import { CLIENT_CORE, example, SERVER_CORE, start, startCeiling } from './programs.mjs';
import { latencyTable } from './report.mjs';
import { differentContexts } from './throughput.mjs';
import { runUndisturbed } from './undisturbed.mjs';
import { Upstream } from './upstream.mjs';
import { round } from './wrk.mjs';

const REPLACED_EVERY_MS = 100;
const CONNECTIONS = 32;
const PEAK_SECONDS = 3;

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
  const upstream = await Upstream.start(flags);
  const file = join(scratchFolder('requests'), 'paced');
  const rows = [];
  let peak = 0;
  for (const cores of [SERVER_CORE, `${SERVER_CORE},${CLIENT_CORE}`]) {
    const program = await start('offleash-proxy', upstream.url, { cores, workers: 1, pollMs: REPLACED_EVERY_MS });
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
    await upstream.replaceEvery(REPLACED_EVERY_MS);
    await sleep(2 * REPLACED_EVERY_MS);
    const before = await upstream.updatesTaken();
    const began = performance.now();
    const busy = await pace(program, file, peak / 2, seconds);
    const updatesPerSecond = (await upstream.updatesTaken() - before) / ((performance.now() - began) / 1000);
    await upstream.hold();
    if (updatesPerSecond < 0.9 * (1000 / REPLACED_EVERY_MS)) say(`only ${updatesPerSecond.toFixed(1)} updates a second were taken`);
    rows.push({ ...row, upstream: 'replaced', updatesPerSecond, ...busy });
    await eventually('the last flags are taken', () => upstream.isTaken());
    await program.child.stop();
  }
  await upstream.stop();
  return { flags, seconds, peak, rows };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runUndisturbed();
  const { values } = parseArgs({ options: { flags: { type: 'string', default: '200' }, seconds: { type: 'string', default: '10' }, contexts: { type: 'string', default: '100000' } } });
  await runThenEnd(async () => {
    const result = await latency({ flags: Number(values.flags), seconds: Number(values.seconds), queries: differentContexts(Number(values.contexts)), say: console.log });
    console.log(latencyTable(result));
    return 0;
  });
}
