// One honest table: Offleash beside the programs it replaces and beside what actix-web can do at
// most, on this machine, in this run.
//
//   node loadtest/peak/run.mjs               throughput at 200 flags, plain
//   node loadtest/peak/run.mjs --all         everything, and a report in loadtest/results/
//
// README.md beside the folder has the options.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { runThenEnd } from '../../e2e/lib/processes.mjs';
import { MODES } from './asks.mjs';
import { latency } from './latency.mjs';
import { memory } from './memory.mjs';
import { PROGRAMS } from './programs.mjs';
import { machine, markdown, promises } from './report.mjs';
import { startToReady } from './start.mjs';
import { differentContexts, throughput } from './throughput.mjs';
import { runUndisturbed } from './undisturbed.mjs';

runUndisturbed();

const RESULTS = fileURLToPath(new URL('../results/', import.meta.url));
const EVERYONE = [...Object.keys(PROGRAMS), 'ceiling'];
/** What `--all` measures: every number of flags plainly, every mode at 200, the large ones of 1,000. */
const MATRIX = [
  [20, ['plain']],
  [200, Object.keys(MODES)],
  [1000, ['plain', 'compressed', 'conditional']],
  [5000, ['plain']],
];

const { values: options } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    payload: { type: 'string' },
    contexts: { type: 'string', default: '100000' },
    flags: { type: 'string', default: '200' },
    modes: { type: 'string', default: 'plain' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
    only: { type: 'string', default: EVERYONE.join(',') },
    updates: { type: 'string', default: '1000' },
    requests: { type: 'string', default: '1000000' },
    json: { type: 'string' },
  },
});

const list = (text) => text.split(',').filter(Boolean);

function unknown(what, given, known) {
  const wrong = given.filter((each) => !known.includes(each));
  if (wrong.length) throw new Error(`no ${what} \`${wrong.join('`, `')}\`: there are ${known.join(', ')}`);
}

await runThenEnd(async () => {
  const only = list(options.only);
  unknown('program', only, EVERYONE);
  unknown('mode', list(options.modes), Object.keys(MODES));
  if (cpus().length < 2) throw new Error('two cores are needed: one to answer, one to ask');
  execFileSync('which', ['wrk']);

  const payload = options.payload ? JSON.parse(readFileSync(options.payload, 'utf8')) : null;
  const matrix = options.all ? MATRIX : list(options.flags).map((flags) => [Number(flags), list(options.modes)]);
  const command = ['node loadtest/peak/run.mjs', ...process.argv.slice(2)].join(' ');
  const result = { date: new Date().toISOString(), machine: machine(), options: { ...options, command }, throughput: [] };
  if (result.machine.loadBefore > 0.8) console.error('The machine is busy with other things: these figures are not to be published.');
  // Progress goes to standard error: standard output is the report.
  const say = (line) => console.error(line);
  const queries = differentContexts(Number(options.contexts));
  const figures = { seconds: Number(options.seconds), rounds: Number(options.rounds), connections: Number(options.connections) };
  for (const [flags, modes] of matrix) {
    say(`--- ${flags} flags: ${modes.join(', ')}`);
    result.throughput.push(...await throughput({ payload, flags, queries, modes, only, say, ...figures }));
    save(result);
  }
  if (options.all) {
    say('--- latency');
    result.latency = await latency({ flags: 200, queries, rounds: figures.rounds, seconds: 2 * figures.seconds, say });
    save(result);
    say('--- start');
    result.start = await startToReady({ flags: 1000, runs: 20, only });
    save(result);
    say('--- memory');
    result.memory = await memory({ flags: 1000, queries, requests: Number(options.requests), updates: Number(options.updates), say });
    save(result);
  }
  const report = markdown(result);
  console.log(report);
  if (options.all) {
    const file = `${RESULTS}${result.date.slice(0, 10)}-peak`;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(`${file}.md`, report);
    writeFileSync(`${file}.json`, `${JSON.stringify(result, null, 1)}\n`);
    say(`written: ${file}.md and .json`);
  }
  return options.all && promises(result).some(({ held }) => !held) ? 2 : 0;
});

/** After every part, so that a run which breaks off has not been for nothing. */
function save(result) {
  if (options.json) writeFileSync(options.json, `${JSON.stringify(result, null, 1)}\n`);
}
