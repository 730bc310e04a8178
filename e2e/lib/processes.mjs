// Child processes and temporary folders of one run: each is remembered when it is made and taken
// away at the end, however the run ends.

import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, closeSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const children = [];
const folders = [];
let ending = null;

/** A folder of our own below the system's temporary folder, removed at the end of the run. */
export function scratchFolder(label) {
  const folder = mkdtempSync(join(tmpdir(), `offleash-${label}-`));
  folders.push(folder);
  return folder;
}

/** A TCP port on 127.0.0.1 that nothing listened on a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/**
 * Starts a program. Its environment is `env` and nothing else but PATH and HOME, so that the
 * variables of whoever runs the tests do not change them.
 *
 * @returns {{ pid: number, label: string, output: () => string, exited: () => boolean,
 *   exitCode: () => number | null,
 *   ended: Promise<void>, stop: (signal?: string) => Promise<void> }}
 */
export function launch(label, command, args, { env = {}, folder, uid, gid, stopWith = 'SIGTERM' }) {
  const logFile = join(folder, `${label}.log`);
  const log = openSync(logFile, 'a');
  const child = spawn(command, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder, ...env },
    stdio: ['ignore', log, log],
    uid,
    gid,
  });
  closeSync(log);
  let failure = '';
  const gone = new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', (err) => {
      failure = `\n${label} did not start: ${err.message}`;
      resolve();
    });
  });
  const exited = () => failure !== '' || child.exitCode !== null || child.signalCode !== null;
  const started = {
    pid: child.pid,
    label,
    exited,
    exitCode: () => child.exitCode,
    ended: gone,
    output: () => readFileSync(logFile, 'utf8') + failure,
    async stop(signal = stopWith) {
      if (exited()) return;
      child.kill(signal);
      const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(patience);
    },
  };
  children.push(started);
  return started;
}

/** Stops what still runs, youngest first, and removes the folders. Safe to call twice. */
export function endAll() {
  ending ??= (async () => {
    for (const child of [...children].reverse()) await child.stop();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  })();
  return ending;
}

/** Runs `work`, then ends everything; its result (or 1) is the exit code. */
export async function runThenEnd(work) {
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
    process.once(signal, () => {
      console.error(`\n${signal}: stopping what was started`);
      endAll().finally(() => process.exit(code));
    });
  }
  let code = 1;
  try {
    code = await work();
  } catch (err) {
    // Stopped by a signal: whatever broke then was broken by the stopping.
    if (ending) return;
    console.error(err);
    for (const child of children) {
      if (child.exited()) console.error(`--- ${child.label} ended:\n${child.output().slice(-3000)}`);
    }
  }
  await endAll();
  process.exit(code);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `probe` gives something true, or throws what was waited for and the child's last words. */
export async function eventually(what, probe, { within = 30_000, every = 25, child } = {}) {
  const deadline = Date.now() + within;
  let last;
  while (Date.now() < deadline) {
    if (child?.exited()) throw new Error(`${child.label} ended before ${what}:\n${child.output().slice(-3000)}`);
    try {
      const found = await probe();
      if (found) return found;
      last = found;
    } catch (err) {
      last = err;
    }
    await sleep(every);
  }
  const words = child ? `\n--- ${child.label}:\n${child.output().slice(-3000)}` : '';
  throw new Error(`${what}: not within ${within} ms (last: ${last?.message ?? last})${words}`);
}

/** Whether an HTTP GET answers 200. */
export async function answers(url) {
  const response = await fetch(url);
  await response.arrayBuffer();
  return response.status === 200;
}
