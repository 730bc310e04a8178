// What was measured, for people: tables in markdown, the machine, and what was promised.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

import { offleashBinary } from '../../e2e/lib/targets.mjs';
import { medianInPairs } from './wrk.mjs';

export const MIB = 1024 * 1024;
/** Of its core: from here on wrk is what is measured. */
const WRK_IS_BUSY = 0.9;

const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();

/** The first line that a program says, or a question mark: some versions are not told. */
function said(command, ...args) {
  try {
    return run(command, ...args).split('\n')[0];
  } catch (err) {
    return (err.stdout ?? '').split('\n')[0] || '?';
  }
}

/** What has to be known of a machine to understand a figure. */
export function machine() {
  const lscpu = JSON.parse(run('lscpu', '--json')).lscpu;
  const flat = lscpu.flatMap(function walk(entry) { return [entry, ...(entry.children ?? []).flatMap(walk)]; });
  const of = (field) => flat.find((entry) => entry.field === `${field}:`)?.data;
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GiB`;
  return {
    cpu: `${cpus()[0].model.trim()} (family ${of('CPU family')}, model ${of('Model')})`,
    cores: cpus().length,
    caches: ['L1d', 'L1i', 'L2', 'L3'].map((level) => `${level} ${of(`${level} cache`) ?? of(level) ?? '?'}`).join(', '),
    virtual: of('Hypervisor vendor') ?? null,
    memory,
    kernel: `Linux ${release()}`,
    loadBefore: loadavg()[0],
    versions: {
      offleash: said(offleashBinary(), '--version'),
      commit: said('git', 'describe', '--always', '--dirty'),
      rustc: said('rustc', '--version'),
      'actix-web': /name = "actix-web"\nversion = "(.*)"/.exec(readFileSync(new URL('../../Cargo.lock', import.meta.url), 'utf8'))?.[1] ?? '?',
      node: process.version,
      wrk: said('wrk', '-v').replace(/ Copyright.*/, ''),
    },
  };
}

function table(heads, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  // What is text stands left, what is a number right.
  const rules = heads.map((_, n) => (rows.every((cells) => /^[\d.,–% ×µms]*$/.test(cells[n])) ? '---:' : '---'));
  return [line(heads), line(rules), ...rows.map(line)].join('\n');
}

const whole = (number) => Math.round(number).toLocaleString('en-GB');
const fixed = (digits) => (number) => (number === null || number === undefined ? '–' : number.toFixed(digits));
const ms = fixed(2);
const mib = (bytes) => fixed(1)(bytes / MIB);
const times = (ratio) => (ratio === null ? '–' : `${ratio.toFixed(ratio < 10 ? 2 : 1)} ×`);

export function throughputTable(rows) {
  const heads = ['program', 'mode', 'flags', 'requests/s', 'Offleash is', 'p50 ms', 'p99 ms', 'bytes', 'RSS MiB', 'CPU µs', 'by CPU', 'wrk’s core'];
  return table(heads, rows.map((row) => [
    row.note ? `${row.title} (${row.note})` : row.title, row.mode, whole(row.flags), whole(row.perSecond), times(row.ratio), ms(row.p50), ms(row.p99),
    whole(row.bytes), mib(row.resident), fixed(1)(row.cpuMicros), times(row.cpuRatio), `${(row.wrkShare * 100).toFixed(0)} %`,
  ]));
}

export function latencyTable({ rows }) {
  const heads = ['program', 'upstream', 'cores', 'requests/s', 'p50 ms', 'p90 ms', 'p99 ms', 'worst p99 ms', 'p99.9 ms', 'max ms', 'gap ms', 'late p99 ms', 'updates taken/s'];
  return table(heads, rows.map((row) => [
    row.title, row.upstream, row.cores, whole(row.perSecond), ...['p50', 'p90', 'p99', 'worst99', 'p999', 'max', 'gap', 'late99'].map((figure) => ms(row[figure] / 1000)),
    fixed(1)(row.updatesPerSecond),
  ]));
}

export function memoryTable({ workers, flags, requests, updates, seconds, firstThird, lastThird, max }) {
  return table(['workers', 'flags', 'requests', 'updates taken', 'seconds', 'RSS first third MiB', 'last third MiB', 'max MiB'],
    [[whole(workers), whole(flags), whole(requests), whole(updates), whole(seconds), mib(firstThird), mib(lastThird), mib(max)]]);
}

export function startTable({ rows }) {
  return table(['program', 'flags', 'runs', 'median ms', 'max ms', 'CPU ms'],
    rows.map((row) => [row.title, whole(row.flags), whole(row.runs), fixed(1)(row.median), fixed(1)(row.max), fixed(1)(row.cpu)]));
}

/** What was promised, what was measured, and whether it held. Only what this run measured. */
export function promises({ throughput = [], latency, memory, start }) {
  const held = [];
  const promise = (what, measured, isHeld) => held.push({ what, measured, held: isHeld });
  for (const [program, mode, flags, least, what] of [
    ['edge', 'plain', 200, 30, 'plain, 200 flags: at least 30 × Edge'],
    ['ceiling', 'plain', 200, 0.8, 'plain, 200 flags: at least 0.80 of the ceiling'],
    ['edge', 'compressed', 200, 20, 'compressed, 200 flags: at least 20 × Edge'],
    ['ceiling', 'conditional', 200, 0.9, 'conditional, 200 flags: at least 0.90 of an empty 304'],
    ['ceiling', 'preflight', 200, 0.9, 'preflight: at least 0.90 of an empty answer'],
    ['edge', 'plain', 1000, 40, 'plain, 1,000 flags: at least 40 × Edge'],
  ]) {
    const row = throughput.find((each) => each.program === program && each.mode === mode && each.flags === flags);
    if (!row?.ratio) continue;
    // Where wrk had no time left, the program waited for it: then its own processor time decides.
    const byCpu = row.wrkShare > WRK_IS_BUSY;
    const measured = byCpu ? row.cpuRatio : row.ratio;
    promise(what, times(measured) + (byCpu ? ' by CPU, wrk being busy' : ''), measured >= least);
  }
  const paced = (upstream) => latency?.rows.find((row) => row.program !== 'ceiling' && row.cores === '0' && row.upstream === upstream);
  const [quiet, busy] = [paced('quiet'), paced('replaced')];
  if (quiet) promise('half of peak: p99 at most 1 ms', `${ms(quiet.p99 / 1000)} ms`, quiet.p99 <= 1000);
  if (quiet && busy) {
    const ratio = medianInPairs(busy.rounds, quiet.rounds, (mine, theirs) => mine.p99 / theirs.p99);
    promise('flags replaced ten times a second: p99 at most 1.5 × that of the same round', times(ratio), ratio <= 1.5);
  }
  if (memory) {
    promise('two workers, 1,000 flags, under load: at most 20 MiB resident', `${mib(memory.max)} MiB`, memory.max <= 20 * MIB);
    promise('flat over the requests and updates', `${mib(memory.firstThird)} → ${mib(memory.lastThird)} MiB`, memory.isFlat);
  }
  const started = start?.rows.filter(({ program }) => program.startsWith('offleash')) ?? [];
  for (const row of started) promise(`${row.title}, ${whole(row.flags)} flags: ready within 50 ms`, `${row.median.toFixed(1)} ms, at most ${row.max.toFixed(1)}`, row.median <= 50);
  return held;
}

/** The whole report. */
export function markdown(result) {
  const { date, machine: at, options, throughput, latency, memory, start } = result;
  const parts = [
    `# Peak, ${date.slice(0, 10)}`,
    `Made by \`${options.command}\`. Every program on core 0 alone, who asks on core 1 alone, all on 127.0.0.1.`,
    [
      `- ${at.cpu}, ${at.cores} cores${at.virtual ? ` (virtual, ${at.virtual})` : ''}; ${at.caches}; ${at.memory}; ${at.kernel}`,
      `- ${Object.entries(at.versions).map(([name, version]) => `${name}: ${version}`).join('; ')}`,
      `- load before the start: ${at.loadBefore.toFixed(2)}${at.loadBefore > 0.8 ? ' – **the machine was busy with other things: not to be published**' : ''}`,
    ].join('\n'),
  ];
  const add = (title, text, rows) => parts.push(`## ${title}`, text, rows);
  const held = promises(result);
  if (held.length) {
    parts.push('## What was promised', table(['promise', 'measured', 'held'], held.map(({ what, measured, held: isHeld }) => [what, measured, isHeld ? 'yes' : '**no**'])));
  }
  if (throughput) {
    add('Throughput', `${options.contexts} different contexts in turn, ${options.connections} connections; medians of ${options.rounds} interleaved rounds of ${options.seconds} s, and of the ratios within each. ` +
      '`bytes`: an answer with its head; `CPU µs`: the program’s processor time per request, and how many times of Offleash’s that is; `wrk’s core`: how busy who asks was.', throughputTable(throughput));
  }
  if (latency) add('Latency at half of peak', `${latency.flags} flags; requests are due at a fixed pace and their latency counts from then, medians of ${latency.rounds} rounds of ${latency.seconds} s in turn; \`worst p99\`: of the worst round; \`max\`: of all of them; \`gap\`: the longest in that round for which the asking program, which never waits, looked at no connection: more than a millisecond, and its core was taken or the machine stood still. \`late\`: its own part, in the worst round.`, latencyTable(latency));
  if (memory) add('Memory', 'Plain, compressed, conditional, preflight and POST requests in turn while the flags are replaced.', memoryTable(memory));
  if (start) add('Start to ready', 'From before the process is made to the first 200 on its readiness path, and the processor time it had until then.', startTable(start));
  return `${parts.join('\n\n')}\n`;
}
