// As many answers as one core gives: Offleash, what it replaces, and the ceiling, in turn.

import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { scratchFolder } from '../../e2e/lib/processes.mjs';
import { Stub } from '../../e2e/lib/stub.mjs';
import { makeContexts, makePayload } from '../fixtures.mjs';
import { agreement } from './agreement.mjs';
import { MODES, ownHeaders, sendAll, tagsOf, writeRequests } from './asks.mjs';
import { introduce, PROGRAMS, start, startCeiling } from './programs.mjs';
import { medianInPairs, medians, round } from './wrk.mjs';

const WARM_UP_SECONDS = 1;
const SAMPLE = 200;
/** The peers answer too slowly to be asked for more tags, and keep no answers. */
const PEERS_TAGS = 2000;
const CEILING_REPEATS = 'offleash-frontend';

/** Query strings, each different. */
export function differentContexts(count) {
  const queries = makeContexts(count);
  const different = new Set(queries).size;
  if (different < count) throw new Error(`of ${count} contexts only ${different} are different`);
  return queries;
}

/**
 * Measures every mode at one number of flags.
 *
 * @returns {Promise<object[]>} a row per program and mode, figures as of `round`, medians
 */
export async function throughput({ payload, flags, queries, modes, only, seconds, rounds, connections, say }) {
  const { features, segments } = payload ?? makePayload(flags);
  const stub = await Stub.start();
  introduce(stub);
  stub.serve(features, segments ?? []);
  const programs = [];
  for (const name of Object.keys(PROGRAMS).filter((each) => only.includes(each))) programs.push(await start(name, stub.url));
  (await agreement(programs, queries)).forEach(say);
  const rows = [];
  for (const mode of modes) {
    say(`  ${mode}: preparing`);
    const contenders = await prepare(mode, programs, queries, only.includes('ceiling'), say);
    for (const { program, file } of contenders) await round(program, file, { seconds: WARM_UP_SECONDS, connections });
    say(`  ${mode}: measuring`);
    for (let n = 0; n < rounds; n += 1) {
      for (const { program, file, results } of contenders) results.push(await round(program, file, { seconds, connections }));
    }
    for (const { program, file, results, asked, note } of contenders) {
      const against = program.name === 'ceiling' ? CEILING_REPEATS : program.against;
      rows.push({ program: program.name, title: program.title, mode, flags: features.length, contexts: asked, against, note, ...medians(results), rounds: results });
      rmSync(file, { force: true });
      if (program.name === 'ceiling') await program.child.stop();
    }
  }
  for (const { child } of programs) await child.stop();
  await stub.stop();
  return compare(rows);
}

/** Who takes part in a mode, each with its requests in a file and known to be answered as the mode expects. */
async function prepare(mode, programs, queries, withCeiling, say) {
  const contenders = [];
  for (const program of programs) {
    const mine = MODES[mode].needsTags && program.against ? queries.slice(0, PEERS_TAGS) : queries;
    const tags = MODES[mode].needsTags ? await tagsOf(program, mine) : [];
    if (!tags) {
      say(`${program.name} gives no tags: it is left out of \`${mode}\``);
      continue;
    }
    const asks = mine.map((query, n) => MODES[mode].ask(program, query, tags[n]));
    const sample = await sendAll(program, asks.slice(0, SAMPLE));
    const note = wrongness(mode, sample);
    if (note && !program.against) throw new Error(`${program.name} does not answer \`${mode}\` as it should: ${note}`);
    if (note) say(`${program.name} in \`${mode}\`: ${note}`);
    const file = join(scratchFolder('requests'), `${program.name}-${mode}`);
    writeRequests(file, asks);
    contenders.push({ program, file, note, asked: asks.length, results: [] });
    if (withCeiling && program.name === CEILING_REPEATS) {
      const answer = nearestToMean(sample);
      const ceiling = await startCeiling({ status: answer.status, headers: ownHeaders(answer), body: answer.body });
      const own = join(scratchFolder('requests'), `ceiling-${mode}`);
      writeRequests(own, asks);
      contenders.push({ program: ceiling, file: own, note: null, asked: asks.length, results: [] });
    }
  }
  return contenders;
}

/** What is wrong with the answers, `null` when nothing is. */
function wrongness(mode, answers) {
  const wrong = answers.filter(({ status }) => !MODES[mode].expects.includes(status));
  if (wrong.length) return `${wrong.length} of ${answers.length} answers have status ${wrong[0].status}`;
  if (mode === 'compressed' && !answers.every(({ headers }) => headers['content-encoding'])) return 'answers are not compressed';
  return null;
}

/** The answer whose size is nearest to the mean of all. */
function nearestToMean(answers) {
  const mean = answers.reduce((sum, { body }) => sum + body.length, 0) / answers.length;
  return answers.reduce((best, each) => (Math.abs(each.body.length - mean) < Math.abs(best.body.length - mean) ? each : best));
}

/** Adds to each row how many times as fast Offleash is. */
function compare(rows) {
  for (const row of rows) {
    const ours = rows.find(({ program, mode, flags }) => program === row.against && mode === row.mode && flags === row.flags);
    const inPairs = (ratio) => (ours ? medianInPairs(ours.rounds, row.rounds, ratio) : null);
    row.ratio = inPairs((mine, theirs) => mine.perSecond / theirs.perSecond);
    row.cpuRatio = inPairs((mine, theirs) => theirs.cpuMicros / mine.cpuMicros);
  }
  return rows;
}
