// How long a program takes from being started to being ready, its flags from a stub on loopback.
//
//   node loadtest/peak/start.mjs [--flags 1000] [--runs 20] [--only offleash-frontend,edge]

import { execFile } from 'node:child_process';
import { Agent, request as httpRequest } from 'node:http';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';

import { runThenEnd } from '../../e2e/lib/processes.mjs';
import { cpuMillis, PROGRAMS, spawnAlone } from './programs.mjs';
import { startTable } from './report.mjs';
import { Upstream } from './upstream.mjs';
import { median } from './wrk.mjs';

const PATIENCE_MS = 30_000;
const ASKED_EVERY_MS = 1;

/** The status of a GET, 0 where nobody listens yet. */
function status(url, agent) {
  return new Promise((resolve) => {
    const request = httpRequest(url, { agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode));
    });
    request.on('error', () => resolve(0));
    request.end();
  });
}

async function startOnce(name, upstream) {
  const program = await spawnAlone(name, upstream, {});
  // One connection: a program that is busy starting is not to be made to accept hundreds.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let ready = false;
  while (!ready) {
    ready = await status(program.url + program.ready, agent) === 200;
    if (program.child.exited()) throw new Error(`${name} ended:\n${program.child.output()}`);
    if (performance.now() - program.at > PATIENCE_MS) throw new Error(`${name} is not ready within ${PATIENCE_MS} ms`);
    if (!ready) await new Promise((resolve) => setTimeout(resolve, ASKED_EVERY_MS));
  }
  const took = performance.now() - program.at;
  const cpu = cpuMillis(program.child.pid);
  agent.destroy();
  await program.child.stop();
  return { took, cpu };
}

/**
 * As this script does when it runs alone, in a process of its own: to make a process from a large one,
 * as whoever measured throughput is, takes milliseconds that are not the program's.
 */
export async function startToReady({ flags, runs, only }) {
  const args = ['--flags', flags, '--runs', runs, '--only', only, '--json'].map(String);
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), ...args]);
  return JSON.parse(stdout);
}

/** Starts each program so many times, in turn. Milliseconds; `cpu` is what it had of the processors until it was ready. */
async function startAll({ flags, runs, only }) {
  const upstream = await Upstream.start(flags);
  const names = Object.keys(PROGRAMS).filter((name) => only.includes(name));
  const took = new Map(names.map((name) => [name, []]));
  // One that does not count: the file's pages come from the disk.
  for (const name of names) await startOnce(name, upstream.url);
  for (let run = 0; run < runs; run += 1) {
    for (const name of names) took.get(name).push(await startOnce(name, upstream.url));
  }
  await upstream.stop();
  const rows = names.map((name) => {
    const millis = took.get(name).map((each) => each.took);
    const cpu = median(took.get(name).map((each) => each.cpu));
    return { program: name, title: PROGRAMS[name].title, flags, runs, median: median(millis), max: Math.max(...millis), cpu, took: millis };
  });
  return { rows };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: { flags: { type: 'string', default: '1000' }, runs: { type: 'string', default: '20' }, only: { type: 'string', default: Object.keys(PROGRAMS).join(',') }, json: { type: 'boolean', default: false } },
  });
  await runThenEnd(async () => {
    const result = await startAll({ flags: Number(values.flags), runs: Number(values.runs), only: values.only.split(',') });
    console.log(values.json ? JSON.stringify(result) : startTable(result));
    return 0;
  });
}
