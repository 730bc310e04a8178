// What is compared, how each is started, and what the system knows of it while it runs.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

import { answers, eventually, freePort, launch, scratchFolder } from '../../e2e/lib/processes.mjs';
import { edgeBinary, offleashBinary } from '../../e2e/lib/targets.mjs';
import { packageFolder } from '../../e2e/lib/unleash.mjs';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const BACKEND = '*:development.peak-backend';
const FRONTEND = '*:development.peak-frontend';
const PROXY_KEY = 'peak-key';
/** Long enough that no poll falls into a round that matters. */
const POLL_SECONDS = 600;
/** A tick of `/proc/…/stat`: USER_HZ is 100 on every Linux. */
const TICK_SECONDS = 0.01;

/** What the image sets for the allocator: Offleash runs as its users run it. */
const OF_THE_IMAGE = Object.fromEntries(/^ENV (.*)$/m.exec(readFileSync(join(REPOSITORY, 'Dockerfile'), 'utf8'))[1].split(' ').map((set) => set.split('=')));

export const SERVER_CORE = '0';
export const CLIENT_CORE = '1';

/**
 * How each program is started and asked. `against` is the surface of Offleash that it is compared with.
 *
 * The ceiling has no entry: it is started anew for each answer that it repeats.
 */
export const PROGRAMS = {
  'offleash-frontend': { title: 'Offleash `/api/frontend`', command: () => [offleashBinary(), 'edge'], env: inImage(edgeEnv), path: '/api/frontend', key: FRONTEND, ready: '/internal-backstage/ready', against: null },
  edge: { title: 'Unleash Edge 20.1.0', command: () => [edgeBinary(), 'edge'], env: edgeEnv, path: '/api/frontend', key: FRONTEND, ready: '/internal-backstage/ready', against: 'offleash-frontend' },
  'offleash-proxy': { title: 'Offleash `/proxy`', command: () => [offleashBinary()], env: inImage(proxyEnv), path: '/proxy', key: PROXY_KEY, ready: '/proxy/health', against: null },
  proxy: { title: 'Unleash Proxy 1.4.9', command: () => [process.execPath, join(packageFolder('@unleash/proxy'), 'dist', 'start.js')], env: proxyEnv, path: '/proxy', key: PROXY_KEY, ready: '/proxy/health', against: 'offleash-proxy' },
};

function inImage(env) {
  return (settings) => ({ ...env(settings), ...OF_THE_IMAGE });
}

function edgeEnv({ upstream, port, pollMs }) {
  return {
    UPSTREAM_URL: upstream, TOKENS: BACKEND, FEATURES_REFRESH_INTERVAL_SECONDS: String(Math.ceil(pollMs / 1000)),
    INTERFACE: '127.0.0.1', PORT: String(port),
  };
}

function proxyEnv({ upstream, port, pollMs }) {
  return {
    UNLEASH_URL: `${upstream}/api`, UNLEASH_API_TOKEN: BACKEND, UNLEASH_PROXY_CLIENT_KEYS: PROXY_KEY,
    UNLEASH_FETCH_INTERVAL: String(pollMs), UNLEASH_METRICS_INTERVAL: '0', NODE_ENV: 'production', PORT: String(port),
  };
}

/** Makes the stub know the tokens that the programs are started with. */
export function introduce(stub) {
  stub.know(BACKEND, 'backend');
  stub.know(FRONTEND, 'frontend');
}

/** Starts a program on `cores` (a list as `taskset` reads it), and returns once it is ready. */
export async function start(name, upstream, { cores = SERVER_CORE, workers, pollMs = POLL_SECONDS * 1000 } = {}) {
  const begun = await spawnAlone(name, upstream, { cores, workers, pollMs });
  await eventually(`${name} is ready`, () => answers(begun.url + begun.ready), { child: begun.child });
  return begun;
}

/** Starts a program and does not wait for it. */
export async function spawnAlone(name, upstream, { cores, workers, pollMs = POLL_SECONDS * 1000 }) {
  const program = PROGRAMS[name];
  const port = await freePort();
  const folder = scratchFolder(name);
  const env = { ...program.env({ upstream, port, pollMs }), TMPDIR: folder };
  if (workers) Object.assign(env, { WORKERS: String(workers), OFFLEASH_WORKERS: String(workers) });
  const [command, ...args] = program.command();
  const at = performance.now();
  const child = cores ? launch(name, 'taskset', ['-c', cores, command, ...args], { env, folder }) : launch(name, command, args, { env, folder });
  return { name, port, url: `http://127.0.0.1:${port}`, child, at, ...program };
}

/** Starts the ceiling, which answers every request as `answer` did. */
export async function startCeiling({ status, headers, body }) {
  const port = await freePort();
  const folder = scratchFolder('ceiling');
  const file = join(folder, 'answer');
  const head = [status, ...headers.map(([name, value]) => `${name}: ${value}`)].join('\n');
  writeFileSync(file, Buffer.concat([Buffer.from(`${head}\n\n`), body]));
  const child = launch('ceiling', 'taskset', ['-c', SERVER_CORE, example('ceiling'), String(port), file], { folder });
  const url = `http://127.0.0.1:${port}`;
  await eventually('the ceiling answers', async () => (await fetch(url)).status === status, { child });
  return { name: 'ceiling', title: 'ceiling: actix-web, one constant answer', url, port, child };
}

/** One of the programs beside this file, built by `cargo build --release --examples`. */
export function example(name) {
  const built = process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target');
  const path = join(process.env.PEAK_EXAMPLES ?? join(built, 'release', 'examples'), name);
  if (!existsSync(path)) throw new Error(`no program at \`${path}\`: cargo build --release --example ceiling --example pace`);
  return path;
}

/** Bytes of memory that the process holds now. */
export function residentBytes(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}

/** Seconds that all threads of the process had on a processor so far. */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in parentheses, may have spaces: fields are counted from behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_SECONDS;
}

/** The same of the threads that still are, finely: in nanoseconds where `cpuSeconds` has ticks. */
export function cpuMillis(pid) {
  const nanos = readdirSync(`/proc/${pid}/task`).map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]));
  return nanos.reduce((sum, each) => sum + each, 0) / 1e6;
}
