// Where Unleash's own `/api/frontend` is no judge of evaluation: each case by name, with the reason
// and with what either side must answer. Nothing here is skipped: both answers are asserted.

import { ask } from '../lib/wire.mjs';

const someone = { appName: 'web', environment: 'default', userId: 'user-1', sessionId: 's-1' };
const { appName: _, ...withoutAppName } = someone;

/** `ours`: whether the flag is on in Offleash, by dialect where they differ. */
const CASES = [
  {
    flag: 'exception-child-of-not-off',
    reason: "the server's list holds no flag that is off, so it takes the parent for unknown",
    context: someone, server: false, ours: true,
  },
  {
    flag: 'exception-current-time',
    reason: 'the server evaluates with its own clock, whatever `currentTime` says',
    context: { ...someone, currentTime: '2019-06-01T00:00:00.000Z' }, server: false, ours: true,
  },
  {
    flag: 'exception-address-v6',
    reason: "the server's engine knows IPv4 networks only",
    context: { ...someone, remoteAddress: '2001:db8::7' }, server: false, ours: true,
  },
  {
    flag: 'exception-app-name',
    reason: 'without an `appName` the server takes its own: `frontend-api`',
    context: withoutAppName, server: true, ours: false,
  },
  {
    flag: 'exception-app-name-of-proxy',
    reason: 'without an `appName` the Proxy takes its own: `unleash-proxy`; Edge takes none',
    context: withoutAppName, server: false, ours: { proxy: true, edge: false },
  },
  {
    flag: 'exception-date-of-property',
    reason: "the server's engine compares the current time, whatever field a date constraint names",
    context: { ...someone, properties: { signedUp: '2023-05-05T00:00:00.000Z' } }, server: true, ours: false,
  },
];

/** Users for whom the two ways of choosing a strategy's variant are compared. */
const STICKY_USERS = 40;

const find = (answer, name) => answer.body?.toggles.find((toggle) => toggle.name === name);

/** @returns {Promise<number>} how many exceptions were asserted */
export async function checkExceptions(tally, { server, target, dialect }) {
  for (const { flag, reason, context, server: onServer, ours } of CASES) {
    const expected = typeof ours === 'boolean' ? ours : ours[dialect];
    const [judged, answered] = await Promise.all([ask(server.url, server.token, context), ask(target.url, target.token, context)]);
    tally.check(`${dialect}: server on ${flag}`, Boolean(find(judged, flag)) === onServer, `expected ${onServer}; ${reason}`);
    tally.check(`${dialect}: ours on ${flag}`, Boolean(find(answered, flag)) === expected, `expected ${expected}; ${reason}`);
    console.log(`  exception ${flag}: server ${onServer ? 'on' : 'off'}, ours ${expected ? 'on' : 'off'}: ${reason}`);
  }
  await checkVariantStickiness(tally, { server, target, dialect });
  return CASES.length + 1;
}

// The server lets a strategy's variants be sticky on another field than the strategy; the suite has
// no such field and ours takes the strategy's. A twin that names the same field twice shows it.
async function checkVariantStickiness(tally, { server, target, dialect }) {
  const flag = 'exception-variant-stickiness';
  let apart = 0;
  for (let n = 0; n < STICKY_USERS; n += 1) {
    const context = { ...someone, userId: `sticky-${n}`, properties: { companyId: `company-${n}` } };
    const [judged, answered] = await Promise.all([ask(server.url, server.token, context), ask(target.url, target.token, context)]);
    const twin = find(judged, `${flag}-twin`)?.variant.name;
    tally.equal(`${dialect}: ${flag} for ${context.userId}`, find(answered, flag)?.variant.name, twin);
    if (find(judged, flag)?.variant.name !== twin) apart += 1;
  }
  tally.check(`${dialect}: server on ${flag}`, apart > 0, 'the server agrees with ours: no exception any more');
  console.log(`  exception ${flag}: ${apart} of ${STICKY_USERS} users see another variant from the server: it hashes the variant's own stickiness, ours the strategy's`);
}
