// One round of wrk: as many requests as the program answers, and what they cost.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { CLIENT_CORE, cpuSeconds, residentBytes } from './programs.mjs';

const LUA = fileURLToPath(new URL('requests.lua', import.meta.url));

/**
 * Asks for `seconds` from the client's core alone.
 *
 * @returns requests per second, p50 and p99 in ms, bytes of an answer with its head, resident
 *   bytes afterwards, the program's processor time per request in µs, wrk's own share of its core.
 */
export async function round(program, file, { seconds, connections }) {
  const cpuBefore = cpuSeconds(program.child.pid);
  const { stdout } = await promisify(execFile)('taskset', ['-c', CLIENT_CORE,
    'wrk', '-t1', '--timeout', '30s', `-c${connections}`, `-d${seconds}s`, '-s', LUA, program.url, '--', file]);
  const cpu = cpuSeconds(program.child.pid) - cpuBefore;
  const { requests, micros, bytes, p50, p99, refused, broken, cpuMicros } = JSON.parse(/RESULT (.*)/.exec(stdout)[1]);
  if (refused > 0 || broken > 0 || requests === 0) throw new Error(`${program.name}: ${requests} answered, ${refused} refused, ${broken} broken\n${stdout}`);
  return {
    requests,
    perSecond: requests / (micros / 1e6),
    p50: p50 / 1000,
    p99: p99 / 1000,
    bytes: bytes / requests,
    resident: residentBytes(program.child.pid),
    cpuMicros: (cpu * 1e6) / requests,
    wrkShare: cpuMicros / micros,
  };
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median of each figure over the rounds. */
export function medians(rounds) {
  return Object.fromEntries(Object.keys(rounds[0]).map((figure) => [figure, median(rounds.map((each) => each[figure]))]));
}

/** The median of a ratio of each round of ours to the same round of theirs: machines are not as fast in one as in the next. */
export function medianInPairs(ours, theirs, ratio) {
  return median(ours.map((each, n) => ratio(each, theirs[n])));
}
