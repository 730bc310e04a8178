// One honest table: Offleash beside the programs it replaces, on this machine, in this run.
//
// Each program answers from core 0 alone, wrk asks from core 1 alone, all on 127.0.0.1. Rounds are
// interleaved, the figures are medians over rounds. Before anything is timed, all answers to a
// sample of the contexts are compared.

import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

import { answers, eventually, freePort, launch, runThenEnd, scratchFolder } from '../../e2e/lib/processes.mjs';
import { Stub } from '../../e2e/lib/stub.mjs';
import { edgeBinary, offleashBinary } from '../../e2e/lib/targets.mjs';
import { packageFolder } from '../../e2e/lib/unleash.mjs';
import { byteOrder } from '../../e2e/lib/wire.mjs';
import { makeContexts, makePayload } from '../fixtures.mjs';

const LUA = fileURLToPath(new URL('contexts.lua', import.meta.url));
const BACKEND = '*:development.peers-backend';
const FRONTEND = '*:development.peers-frontend';
const SERVER_CORE = '0';
const CLIENT_CORE = '1';
const WARM_UP_SECONDS = 1;
const SAMPLE = 100;
// Long enough that no poll falls into a round that matters.
const POLL_SECONDS = 600;

const MODES = {
  plain: { encoding: '-' },
  compressed: { encoding: 'gzip, deflate, br, zstd' },
};

const { values: options } = parseArgs({
  options: {
    payload: { type: 'string' },
    contexts: { type: 'string' },
    flags: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '32' },
    modes: { type: 'string', default: 'plain' },
    only: { type: 'string', default: 'offleash-frontend,edge,offleash-proxy,proxy' },
  },
});

/** How each program is started. `against` is the row that its ratio is measured with. */
const PROGRAMS = {
  'offleash-frontend': { title: 'Offleash /api/frontend', command: () => [offleashBinary(), 'edge'], env: edgeEnv, path: '/api/frontend', key: FRONTEND, ready: '/internal-backstage/ready', against: 'offleash-frontend' },
  edge: { title: 'Unleash Edge 20.1.0', command: () => [edgeBinary(), 'edge'], env: edgeEnv, path: '/api/frontend', key: FRONTEND, ready: '/internal-backstage/ready', against: 'offleash-frontend' },
  'offleash-proxy': { title: 'Offleash /proxy', command: () => [offleashBinary()], env: proxyEnv, path: '/proxy', key: 'peers-key', ready: '/proxy/health', against: 'offleash-proxy' },
  proxy: { title: 'Unleash Proxy 1.4.9', command: () => [process.execPath, join(packageFolder('@unleash/proxy'), 'dist', 'start.js')], env: proxyEnv, path: '/proxy', key: 'peers-key', ready: '/proxy/health', against: 'offleash-proxy' },
};

function edgeEnv(upstream, port) {
  return {
    UPSTREAM_URL: upstream, TOKENS: BACKEND, FEATURES_REFRESH_INTERVAL_SECONDS: String(POLL_SECONDS), INTERFACE: '127.0.0.1', PORT: String(port),
  };
}

function proxyEnv(upstream, port) {
  return {
    UNLEASH_URL: `${upstream}/api`, UNLEASH_API_TOKEN: BACKEND, UNLEASH_PROXY_CLIENT_KEYS: 'peers-key',
    UNLEASH_FETCH_INTERVAL: String(POLL_SECONDS * 1000), UNLEASH_METRICS_INTERVAL: '0', NODE_ENV: 'production', PORT: String(port),
  };
}

async function start(name, upstream) {
  const program = PROGRAMS[name];
  const port = await freePort();
  const folder = scratchFolder(name);
  const env = { ...program.env(upstream, port), TMPDIR: folder };
  const child = launch(name, 'taskset', ['-c', SERVER_CORE, ...program.command()], { env, folder });
  const url = `http://127.0.0.1:${port}`;
  await eventually(`${name} is ready`, () => answers(url + program.ready), { child });
  return { name, url, child, rounds: {}, ...program };
}

/** The flags, variants and payloads of an answer, in one spelling for all programs. */
async function outcome(program, context) {
  const response = await fetch(`${program.url}${program.path}?${context}`, { headers: { authorization: program.key } });
  const body = await response.text();
  if (response.status !== 200) throw new Error(`${program.name} answered ${response.status}: ${body}`);
  return { bytes: body.length, toggles: JSON.parse(body).toggles
    .map(({ name, variant }) => [name, variant.name, variant.payload?.value ?? null])
    .sort(([a], [b]) => byteOrder(a, b)) };
}

/** Compares all programs with the first and says where they differ. */
async function agreement(programs, contexts) {
  const differing = new Map();
  let bytes = 0;
  let toggles = 0;
  for (const context of contexts.slice(0, SAMPLE)) {
    const [first, ...others] = await Promise.all(programs.map((program) => outcome(program, context)));
    bytes += first.bytes;
    toggles += first.toggles.length;
    others.forEach((other, n) => {
      const mine = new Set(first.toggles.map(String));
      const theirs = new Set(other.toggles.map(String));
      const apart = [...first.toggles.filter((each) => !theirs.has(String(each))), ...other.toggles.filter((each) => !mine.has(String(each)))];
      for (const flag of new Set(apart.map(([flag]) => flag))) {
        const label = `${programs[n + 1].name}: ${flag}`;
        differing.set(label, (differing.get(label) ?? 0) + 1);
      }
    });
  }
  const sampled = Math.min(SAMPLE, contexts.length);
  console.log(`${sampled} contexts answered alike${differing.size ? ', but for:' : ' by all'}; ` +
    `an answer of ${programs[0].name} has ${(toggles / sampled).toFixed(0)} flags and ${(bytes / sampled).toFixed(0)} bytes on average`);
  for (const [label, count] of differing) console.log(`  ${label} in ${count} contexts`);
}

async function measure(program, mode, seconds, contextsFile) {
  const { stdout } = await promisify(execFile)('taskset', ['-c', CLIENT_CORE, 'wrk', '-t1', '--timeout', '30s', `-c${options.connections}`, `-d${seconds}s`, '-s', LUA,
    program.url, '--', contextsFile, program.path, 'Authorization', program.key, MODES[mode].encoding, '-']);
  const result = JSON.parse(/RESULT (.*)/.exec(stdout)[1]);
  if (result.refused > 0 || result.broken > 0) throw new Error(`${program.name}: ${result.refused} refused, ${result.broken} broken\n${stdout}`);
  return { perSecond: result.requests / (result.micros / 1e6), p50: result.p50 / 1000, p99: result.p99 / 1000, bytes: result.bytes / result.requests };
}

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

function printTable(programs, mode) {
  const figures = new Map(programs.map((program) => [program.name, Object.fromEntries(['perSecond', 'p50', 'p99', 'bytes']
    .map((field) => [field, median(program.rounds[mode].map((round) => round[field]))]))]));
  console.log(`\n| ${mode} | requests/s | p50 ms | p99 ms | bytes/answer | Offleash is |`);
  console.log('|---|---:|---:|---:|---:|---:|');
  for (const { name, title, against } of programs) {
    const { perSecond, p50, p99, bytes } = figures.get(name);
    const ours = figures.get(against);
    const ratio = name === against || !ours ? '–' : `${(ours.perSecond / perSecond).toFixed(1)} × as fast`;
    console.log(`| ${title} | ${perSecond.toFixed(0)} | ${p50.toFixed(2)} | ${p99.toFixed(2)} | ${bytes.toFixed(0)} | ${ratio} |`);
  }
}

await runThenEnd(async () => {
  if (cpus().length < 2) throw new Error('two cores are needed: one to answer, one to ask');
  execFileSync('which', ['wrk']);
  const payload = options.payload ? JSON.parse(readFileSync(options.payload, 'utf8')) : makePayload(Number(options.flags));
  const contexts = options.contexts ? readFileSync(options.contexts, 'utf8').trim().split('\n') : makeContexts(1000);
  const contextsFile = join(scratchFolder('contexts'), 'contexts.txt');
  writeFileSync(contextsFile, `${contexts.join('\n')}\n`);

  const stub = await Stub.start();
  stub.serve(payload.features, payload.segments ?? []);
  stub.know(BACKEND, 'backend');
  stub.know(FRONTEND, 'frontend');
  const programs = [];
  for (const name of options.only.split(',')) programs.push(await start(name, stub.url));
  const modes = options.modes.split(',');
  console.log(`${payload.features.length} flags, ${contexts.length} contexts, ${options.connections} connections, ` +
    `${options.rounds} rounds of ${options.seconds} s; ${cpus()[0].model.trim()}, one core each for server and client`);
  const busy = loadavg()[0];
  if (busy > 0.8) console.log(`The machine is busy with other things (load ${busy.toFixed(1)}): these figures are not to be published.`);
  await agreement(programs, contexts);
  for (const mode of modes) {
    for (const program of programs) {
      program.rounds[mode] = [];
      await measure(program, mode, WARM_UP_SECONDS, contextsFile);
    }
    for (let round = 0; round < Number(options.rounds); round += 1) {
      for (const program of programs) program.rounds[mode].push(await measure(program, mode, Number(options.seconds), contextsFile));
    }
    printTable(programs, mode);
  }
  await stub.stop();
  return 0;
});
