// How long after the server itself serves a change do we serve it?

import { ask } from '../lib/wire.mjs';
import { sleep } from '../lib/processes.mjs';

const FLIPS = 6;
/** On top of the poll interval: the fetch, the compilation, and this measurement's own grain. */
const GRACE_MS = 100;
const GRAIN_MS = 4;

/** Flips a flag several times; each must arrive within the poll interval and a little. */
export async function checkPropagation(tally, { dialect, unleash, environment, backendToken, target, flag, isOurs }) {
  const context = { appName: 'web', environment: 'default', userId: 'user-1', sessionId: 's-1' };
  const delays = [];
  for (let flip = 0; flip < FLIPS; flip += 1) {
    const on = flip % 2 === 1;
    await unleash.setEnabled(flag, environment, on);
    const upstream = until(async () => {
      const { features } = await unleash.clientFeatures(backendToken);
      return features.find(({ name }) => name === flag).enabled === on;
    });
    const ours = until(async () => {
      const { body } = await ask(target.url, target.token, context);
      return body.toggles.some(({ name }) => name === flag) === on;
    });
    const [servedAt, seenAt] = await Promise.all([upstream, ours]);
    delays.push(Math.round(seenAt - servedAt));
    // What the originals need is printed; only ours is held to it.
    if (isOurs) {
      tally.check(`${dialect}: flip ${flip} of ${flag}`, seenAt - servedAt <= target.pollMs + GRACE_MS,
        `${Math.round(seenAt - servedAt)} ms after the server, poll interval ${target.pollMs} ms`);
    }
    // Another phase of the poll each time.
    await sleep(137 * (flip + 1) % 500);
  }
  console.log(`  ${dialect}: polls every ${target.pollMs} ms; changes seen ${delays.join(', ')} ms after the server served them`);
}

/** When `holds` first held, in ms of the monotonic clock. */
async function until(holds, within = 30_000) {
  const deadline = performance.now() + within;
  while (performance.now() < deadline) {
    if (await holds()) return performance.now();
    await sleep(GRAIN_MS);
  }
  throw new Error(`a change did not arrive within ${within} ms`);
}
