// How long an answer takes at half of peak, quiet and while the flags are replaced ten times a second.
//
//   node loadtest/peak/latency.mjs [--flags 200] [--rounds 5] [--seconds 4]

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';

import { eventually, runThenEnd, scratchFolder, sleep } from '../../e2e/lib/processes.mjs';
import { MODES, ownHeaders, sendAll, writeRequests } from './asks.mjs';
import { CLIENT_CORE, example, SERVER_CORE, start, startCeiling } from './programs.mjs';
import { latencyTable, promises } from './report.mjs';
import { differentContexts } from './throughput.mjs';
import { runUndisturbed } from './undisturbed.mjs';
import { Upstream } from './upstream.mjs';
import { median, medians, round } from './wrk.mjs';

const REPLACED_EVERY_MS = 100;
const CONNECTIONS = 32;
const PEAK_SECONDS = 2;

async function pace(program, file, rate, seconds) {
  const { stdout } = await promisify(execFile)('taskset', ['-c', CLIENT_CORE, example('pace'), '--to', `127.0.0.1:${program.port}`,
    '--requests', file, '--rate', String(rate), '--seconds', String(seconds), '--connections', String(CONNECTIONS)]);
  const result = JSON.parse(stdout);
  if (result.refused > 0) throw new Error(`${program.name}: ${result.refused} of ${result.answered} refused`);
  return result;
}

/** The median of each figure of several rounds; the greatest of what is a maximum, with the gap of the round that had it; and the rounds themselves. */
function summary(rounds) {
  const worst = rounds.reduce((one, other) => (other.max > one.max ? other : one));
  const most = (figure) => Math.max(...rounds.map((each) => each[figure]));
  return { ...medians(rounds), max: worst.max, gap: worst.gap, late99: most('late99'), worst99: most('p99'), rounds };
}

/**
 * In every round the ceiling, Offleash quiet and Offleash busy take their turns, busy first in
 * every other, each for so many seconds: machines stand still now and then, and whom that hits is chance.
 *
 * @returns rows: the ceiling at the same pace, Offleash quiet and busy on one core, and with two
 *   cores, where its sync does not share the worker's
 */
export async function latency({ flags, queries, rounds, seconds, say }) {
  const upstream = await Upstream.start(flags);
  const file = join(scratchFolder('requests'), 'paced');
  const rows = [];
  let peak = 0;
  for (const cores of [SERVER_CORE, `${SERVER_CORE},${CLIENT_CORE}`]) {
    const program = await start('offleash-proxy', upstream.url, { cores, workers: 1, pollMs: REPLACED_EVERY_MS });
    const asks = queries.map((query) => MODES.plain.ask(program, query));
    writeRequests(file, asks);
    let ceiling = null;
    if (!peak) {
      peak = await peakOf(program, file);
      say(`peak is ${peak.toFixed(0)}/s, half of it ${(peak / 2).toFixed(0)}/s`);
      const [answer] = await sendAll(program, asks.slice(0, 1));
      ceiling = await startCeiling({ status: answer.status, headers: ownHeaders(answer), body: answer.body });
    }
    const taken = { ceiling: [], quiet: [], replaced: [] };
    for (let n = 1; n <= rounds; n++) {
      const ask = (whom) => pace(whom, file, peak / 2, seconds);
      if (ceiling) taken.ceiling.push(await ask(ceiling));
      const quiet = async () => taken.quiet.push({ updatesPerSecond: 0, ...await ask(program) });
      const replaced = async () => taken.replaced.push(await replacing(upstream, () => ask(program)));
      for (const turn of n % 2 ? [quiet, replaced] : [replaced, quiet]) await turn();
      const p99 = Object.entries(taken).filter(([, each]) => each.length).map(([name, each]) => `${name} ${(each.at(-1).p99 / 1000).toFixed(2)}`);
      say(`cores ${cores}, round ${n}: p99 ms ${p99.join(', ')}`);
    }
    const row = { program: program.name, title: program.title, cores };
    if (ceiling) rows.push({ program: 'ceiling', title: 'ceiling', upstream: 'none', cores, updatesPerSecond: null, ...summary(taken.ceiling) });
    rows.push({ ...row, upstream: 'quiet', ...summary(taken.quiet) }, { ...row, upstream: 'replaced', ...summary(taken.replaced) });
    const slowest = Math.min(...taken.replaced.map(({ updatesPerSecond }) => updatesPerSecond));
    if (slowest < 0.9 * (1000 / REPLACED_EVERY_MS)) say(`only ${slowest.toFixed(1)} updates a second were taken`);
    await ceiling?.child.stop();
    await program.child.stop();
  }
  await upstream.stop();
  return { flags, rounds, seconds, peak, rows };
}

/** Requests a second at most: the median of three looks, as one may fall into a bad moment. */
async function peakOf(program, file) {
  const looks = [];
  for (let n = 0; n < 3; n++) looks.push((await round(program, file, { seconds: PEAK_SECONDS, connections: CONNECTIONS })).perSecond);
  return median(looks);
}

/** What `measure` finds while the flags are replaced, and how often they were taken meanwhile. */
async function replacing(upstream, measure) {
  await upstream.replaceEvery(REPLACED_EVERY_MS);
  await sleep(2 * REPLACED_EVERY_MS);
  const before = await upstream.updatesTaken();
  const began = performance.now();
  const found = await measure();
  const updatesPerSecond = (await upstream.updatesTaken() - before) / ((performance.now() - began) / 1000);
  await upstream.hold();
  await eventually('the last flags are taken', () => upstream.isTaken());
  return { updatesPerSecond, ...found };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runUndisturbed();
  const { values } = parseArgs({ options: { flags: { type: 'string', default: '200' }, rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '4' }, contexts: { type: 'string', default: '100000' } } });
  await runThenEnd(async () => {
    const queries = differentContexts(Number(values.contexts));
    const result = await latency({ flags: Number(values.flags), rounds: Number(values.rounds), seconds: Number(values.seconds), queries, say: console.log });
    console.log(latencyTable(result));
    for (const { what, measured, held } of promises({ latency: result })) console.log(`${what}: ${measured}, ${held ? 'held' : 'not held'}`);
    return 0;
  });
}
