// Node by itself, without what it does when it seems to have nothing to do.

import { spawnSync } from 'node:child_process';

/**
 * Some seconds after it last had much to do, Node collects its garbage on every core. Of a process
 * that holds a hundred thousand requests that takes half a second, in the middle of a measurement
 * during which it only waits.
 */
const FLAG = '--no-memory-reducer';

/** Runs this very script again without that, and ends as it does; returns where it was done already. */
export function runUndisturbed() {
  if (process.execArgv.includes(FLAG)) return;
  const { status } = spawnSync(process.execPath, [FLAG, ...process.execArgv, ...process.argv.slice(1)], { stdio: 'inherit' });
  process.exit(status ?? 1);
}
