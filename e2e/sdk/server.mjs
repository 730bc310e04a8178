// The real server-side SDK (npm `unleash-client`) on `/proxy/client/features`: it gets definitions,
// segments included, and decides itself. E2E_TARGET=proxy-original runs it against the Unleash
// Proxy, which leaves segments out.

import { Unleash } from 'unleash-client';

import { eventually, runThenEnd, scratchFolder } from '../lib/processes.mjs';
import { Stub } from '../lib/stub.mjs';
import { Tally } from '../lib/tally.mjs';
import { startProxy } from '../lib/targets.mjs';
import { FLAGS, SEGMENT, SEGMENTED } from './flags.mjs';

const IS_ORIGINAL = process.env.E2E_TARGET === 'proxy-original';
const SERVER_TOKEN = 'e2e-server-token';
const CLIENT_KEY = 'e2e-client-key';

/** One SDK at a time, with what it complained of. */
async function withSdk(settings, work) {
  const said = { errors: [], warnings: [], changed: 0, registered: 0, sent: 0 };
  const sdk = new Unleash({
    appName: 'e2e-server', refreshInterval: 200, metricsInterval: 300, disableAutoStart: false,
    backupPath: scratchFolder('server-sdk'), skipInstanceCountWarning: true, ...settings,
  });
  sdk.on('error', (err) => said.errors.push(String(err)));
  sdk.on('warn', (text) => said.warnings.push(String(text)));
  sdk.on('changed', () => { said.changed += 1; });
  sdk.on('registered', () => { said.registered += 1; });
  sdk.on('sent', () => { said.sent += 1; });
  try {
    await work({ sdk, said });
  } finally {
    sdk.destroy();
  }
}

async function soon(tally, name, holds) {
  let late = null;
  await eventually(name, holds, { within: 10_000, every: 10 }).catch((err) => { late = err; });
  tally.check(name, late === null, late?.message ?? '');
}

async function checkReading(tally, { sdk, said }, stub) {
  await soon(tally, 'server SDK: ready', () => sdk.isSynchronized());
  const norwegian = { userId: 'user-1', properties: { country: 'NO' } };
  const swede = { userId: 'user-1', properties: { country: 'SE' } };
  tally.equal('server SDK: a flag that is on', sdk.isEnabled('always'), true);
  tally.equal('server SDK: a flag that is off', sdk.isEnabled('never'), false);
  tally.equal('server SDK: a constraint', [norwegian, swede].map((context) => sdk.isEnabled('norwegians', context)), [true, false]);
  tally.equal('server SDK: a variant', sdk.getVariant('with-variant', norwegian).name, 'blue');
  tally.equal('server SDK: a segment', sdk.isEnabled('nordics', swede), !IS_ORIGINAL);
  tally.equal('server SDK: a segment that does not hold', sdk.isEnabled('nordics', { properties: { country: 'DK' } }), false);
  stub.change('toggled', { enabled: true });
  await soon(tally, 'server SDK: a change arrives', () => sdk.isEnabled('toggled'));
  await soon(tally, 'server SDK: registers', () => said.registered > 0);
  await soon(tally, 'server SDK: usage is sent', () => said.sent > 0);
  const yes = () => stub.asked('POST', '/api/client/metrics')
    .reduce((sum, { body }) => sum + (body.bucket.toggles.always?.yes ?? 0), 0);
  await soon(tally, 'server SDK: usage reaches upstream', () => yes() >= 1);
  tally.equal('server SDK: nothing to complain of', [said.errors, said.warnings], [[], []]);
}

async function checkRefused(tally, url) {
  await withSdk({ url, customHeaders: { Authorization: CLIENT_KEY }, disableMetrics: true }, async ({ sdk, said }) => {
    await soon(tally, 'server SDK: a client key is refused', () => said.errors.length > 0);
    tally.check('server SDK: a client key is 401', said.errors[0]?.includes('401'), said.errors[0]);
    tally.equal('server SDK: a client key reads nothing', sdk.getFeatureToggleDefinitions(), []);
  });
}

await runThenEnd(async () => {
  const tally = new Tally();
  const stub = await Stub.start();
  stub.serve([...FLAGS, SEGMENTED], [SEGMENT]);
  const proxy = await startProxy(IS_ORIGINAL ? 'original' : 'offleash', {
    upstream: stub.url, token: '*:development.e2e-backend', clientKey: CLIENT_KEY, pollMs: 200,
    more: { EXP_SERVER_SIDE_SDK_CONFIG_TOKENS: `other, ${SERVER_TOKEN}` },
  });
  const url = `${proxy.url}/`;
  await withSdk({ url, customHeaders: { Authorization: SERVER_TOKEN } }, (session) => checkReading(tally, session, stub));
  await checkRefused(tally, url);
  await proxy.child.stop();
  await stub.stop();
  return tally.close();
});
