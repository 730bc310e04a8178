// Every context, asked of the server and of a target: the same flags, variants and payloads.

import { isDeepStrictEqual } from 'node:util';

import { ask, byName } from '../lib/wire.mjs';
import { FLAGS, isException } from './flags.mjs';

/** A toggle of the server's answer as each dialect must write it, keys in order. */
const AS_WRITTEN = {
  proxy: (toggle) => toggle,
  edge: ({ name, enabled, variant, impressionData }) => ({
    name,
    enabled,
    variant: { name: variant.name, enabled: variant.enabled, payload: variant.payload ?? null },
    impression_data: impressionData,
    impressionData,
  }),
};

/**
 * @param known flags in which a target that is not ours is known to differ, with the reason
 * @returns counts of what was compared and what was left out, by reason
 */
export async function compare(tally, { dialect, server, target, contexts, isOurs, known = {} }) {
  const counts = { toggles: 0, chance: 0, exceptions: 0, known: 0, on: new Set(), variants: new Set(), differing: new Map() };
  for (const [n, context] of contexts.entries()) {
    const label = `${dialect} ${server.environment} context ${n} ${JSON.stringify(context)}`;
    const [judged, got, posted] = await Promise.all([
      ask(server.url, server.token, context),
      ask(target.url, target.token, context),
      ask(target.url, target.token, context, { method: 'POST' }),
    ]);
    if (judged.status !== 200) throw new Error(`the server answered ${judged.status}: ${judged.text}`);
    const expected = keep(judged.body.toggles, context, known, counts).map(AS_WRITTEN[dialect]);
    for (const toggle of expected) {
      counts.on.add(toggle.name);
      counts.variants.add(`${toggle.name}/${toggle.variant.name}`);
    }
    counts.toggles += expected.length;
    for (const [method, answer] of [['GET', got], ['POST', posted]]) {
      if (!tally.equal(`${method} ${label}: status`, answer.status, 200)) continue;
      const actual = keep(answer.body.toggles, context, known);
      compareToggles(tally, `${method} ${label}`, actual, expected, isOurs, counts.differing);
    }
  }
  return counts;
}

/** Leaves out, and counts, what cannot be compared for this context. */
function keep(toggles, context, known, counts = { chance: 0, exceptions: 0, known: 0 }) {
  return toggles.filter(({ name }) => {
    if (isException(name)) counts.exceptions += 1;
    else if (FLAGS[name]?.draws?.(context)) counts.chance += 1;
    else if (known[name]?.when(context)) counts.known += 1;
    else return true;
    return false;
  });
}

function compareToggles(tally, label, actual, expected, isOurs, differing) {
  const sorted = byName(expected);
  const differences = differencesOf(actual, expected);
  for (const { name } of differences) differing.set(name, (differing.get(name) ?? 0) + 1);
  const same = differences.length === 0 && actual.length === expected.length;
  const shown = () => differences.map(({ shown }) => shown).join('\n       ');
  if (!tally.check(label, same, shown) || !isOurs) return;
  // Ours: flags in byte order of their names, and the very bytes of the dialect.
  tally.check(`${label}: bytes`, JSON.stringify(actual) === JSON.stringify(sorted),
    () => `ours   ${JSON.stringify(actual)}\n       wanted ${JSON.stringify(sorted)}`);
}

function differencesOf(actual, expected) {
  const ours = new Map(actual.map((toggle) => [toggle.name, toggle]));
  const theirs = new Map(expected.map((toggle) => [toggle.name, toggle]));
  return [...new Set([...ours.keys(), ...theirs.keys()])]
    .filter((name) => !isDeepStrictEqual(ours.get(name), theirs.get(name)))
    .map((name) => ({
      name,
      shown: `${name}: got ${JSON.stringify(ours.get(name)) ?? 'off'}, server ${JSON.stringify(theirs.get(name)) ?? 'off'}`,
    }));
}

const DRAWS = 400;

/** What is a matter of chance must at least be drawn fairly, anew each time, and agree with itself. */
export async function compareChance(tally, { dialect, target }) {
  const seen = { 'rollout-50-random': 0, 'legacy-random-50': 0, 'rollout-25-default': 0 };
  const context = { appName: 'web', environment: 'default' };
  for (let n = 0; n < DRAWS; n += 1) {
    const { body } = await ask(target.url, target.token, context);
    for (const { name } of body.toggles) if (name in seen) seen[name] += 1;
  }
  for (const [name, count] of Object.entries(seen)) {
    const share = name === 'rollout-25-default' ? 0.25 : 0.5;
    // Six standard deviations: wrong once in a thousand million runs.
    const slack = 6 * Math.sqrt(DRAWS * share * (1 - share));
    tally.check(`${dialect}: ${name} drawn ${count} of ${DRAWS}`, Math.abs(count - DRAWS * share) <= slack,
      `expected ${DRAWS * share} ± ${slack.toFixed(0)}`);
  }
}
