// A fast wrong answer is no result: before anything is timed, answers are compared flag by flag.

import { byteOrder } from '../../e2e/lib/wire.mjs';
import { MODES, send } from './asks.mjs';

const SAMPLE = 100;

/** The flags, variants and payloads of an answer, in one spelling for all programs. */
async function outcome(program, query) {
  const { status, body } = await send(program, MODES.plain.ask(program, query));
  if (status !== 200) throw new Error(`${program.name} answered ${status}: ${body}`);
  const toggles = JSON.parse(body).toggles.map(({ name, variant }) => String([name, variant.name, variant.payload?.value ?? null]));
  return { bytes: body.length, toggles: toggles.sort(byteOrder) };
}

/** Compares all programs with the first. Returns what it found, in lines to be printed. */
export async function agreement(programs, queries) {
  const sample = queries.slice(0, SAMPLE);
  const differing = new Map();
  let bytes = 0;
  let toggles = 0;
  for (const query of sample) {
    const [first, ...others] = await Promise.all(programs.map((program) => outcome(program, query)));
    bytes += first.bytes;
    toggles += first.toggles.length;
    const mine = new Set(first.toggles);
    others.forEach((other, n) => {
      const theirs = new Set(other.toggles);
      const apart = [...first.toggles.filter((each) => !theirs.has(each)), ...other.toggles.filter((each) => !mine.has(each))];
      for (const flag of new Set(apart.map((toggle) => toggle.split(',')[0]))) {
        const label = `${programs[n + 1].name}: ${flag}`;
        differing.set(label, (differing.get(label) ?? 0) + 1);
      }
    });
  }
  return [
    `${sample.length} contexts answered alike${differing.size ? ', but for:' : ' by all'}; ` +
      `an answer of ${programs[0].name} has ${(toggles / sample.length).toFixed(0)} flags and ${(bytes / sample.length).toFixed(0)} bytes on average`,
    ...[...differing].map(([label, count]) => `  ${label} in ${count} contexts`),
  ];
}
