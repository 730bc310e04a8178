// The real browser SDK (npm `unleash-proxy-client`) against Offleash, in front of a scripted
// upstream. E2E_TARGET=proxy-original or edge-original runs it against the programs we replace.

import { InMemoryStorageProvider, UnleashClient } from 'unleash-proxy-client';

import { eventually, runThenEnd, sleep } from '../lib/processes.mjs';
import { Stub } from '../lib/stub.mjs';
import { Tally } from '../lib/tally.mjs';
import { startEdge, startProxy } from '../lib/targets.mjs';
import { FLAGS, PAYLOAD } from './flags.mjs';

const TARGET = process.env.E2E_TARGET ?? 'offleash';
const BACKEND = '*:development.e2e-backend';
const FRONTEND = '*:development.e2e-frontend';
const KEY = 'e2e-client-key';
const HEADER = 'x-e2e-key';

/** One SDK at a time; what it was sent over the wire is kept beside it. */
async function withSdk(settings, work) {
  const answers = [];
  const recordingFetch = async (url, options) => {
    const response = await fetch(url, options);
    answers.push({ url: String(url), status: response.status, method: options?.method ?? 'GET', headers: options?.headers });
    return response;
  };
  const sdk = new UnleashClient({
    appName: 'e2e-sdk', environment: 'default', refreshInterval: 0.2, metricsIntervalInitial: 0.3, metricsInterval: 0.5,
    storageProvider: new InMemoryStorageProvider(), fetch: recordingFetch, ...settings,
    context: { userId: 'user-1', sessionId: 'session-1', properties: { country: 'NO' } },
  });
  const events = { ready: 0, update: 0, impression: 0, errors: [] };
  sdk.on('ready', () => { events.ready += 1; });
  sdk.on('update', () => { events.update += 1; });
  sdk.on('impression', () => { events.impression += 1; });
  sdk.on('error', (err) => events.errors.push(err));
  try {
    await sdk.start();
    await work({ sdk, events, answers });
  } finally {
    sdk.stop();
  }
}

/** What every surface must do for the SDK, in either request mode. */
async function checkSurface(tally, label, stub, settings, { metricsStatus, postGives304 }) {
  for (const usePOSTrequests of [false, true]) {
    const name = `${label} by ${usePOSTrequests ? 'POST' : 'GET'}`;
    stub.serve(FLAGS, []);
    // Else what the mode before changed is taken back while this one looks.
    await eventually('the first flags are taken', () => stub.isTaken());
    await withSdk({ ...settings, usePOSTrequests }, async (session) => {
      await checkReading(tally, name, session);
      await checkContextChange(tally, name, session);
      await checkConditional(tally, name, session, usePOSTrequests ? postGives304 : true);
      await checkUpdate(tally, name, session, stub);
      await checkUsage(tally, name, session, stub, metricsStatus);
      tally.equal(`${name}: no errors`, session.events.errors.map(String), []);
    });
  }
}

async function checkReading(tally, name, { sdk, events }) {
  await soon(tally, `${name}: ready`, () => events.ready === 1);
  tally.equal(`${name}: a flag that is on`, sdk.isEnabled('always'), true);
  tally.equal(`${name}: a flag that is off`, sdk.isEnabled('never'), false);
  tally.equal(`${name}: a flag nobody knows`, sdk.isEnabled('unheard-of'), false);
  tally.equal(`${name}: a constraint that holds`, sdk.isEnabled('norwegians'), true);
  tally.equal(`${name}: a variant with its payload`, sdk.getVariant('with-variant'),
    { name: 'blue', enabled: true, feature_enabled: true, payload: PAYLOAD, ...spelling(sdk, 'with-variant') });
  tally.equal(`${name}: no variant on a flag that is on`, pick(sdk.getVariant('always')), { name: 'disabled', enabled: false, feature_enabled: true });
  tally.equal(`${name}: no variant on a flag that is off`, pick(sdk.getVariant('never')), { name: 'disabled', enabled: false, feature_enabled: false });
  tally.equal(`${name}: impressions only where asked for`, events.impression, 1);
}

const pick = ({ name, enabled, feature_enabled }) => ({ name, enabled, feature_enabled });

/** The Proxy sends `featureEnabled` besides; the SDK passes on what it got. */
function spelling(sdk, name) {
  const variant = sdk.getAllToggles().find((toggle) => toggle.name === name)?.variant ?? {};
  return 'featureEnabled' in variant ? { featureEnabled: true } : {};
}

async function checkContextChange(tally, name, { sdk }) {
  await sdk.setContextField('country', 'SE');
  await soon(tally, `${name}: a constraint that holds no longer`, () => !sdk.isEnabled('norwegians'));
  await sdk.setContextField('country', 'NO');
  await soon(tally, `${name}: a constraint that holds again`, () => sdk.isEnabled('norwegians'));
}

async function checkConditional(tally, name, { answers }, gives304) {
  const before = answers.length;
  await sleep(700);
  const polls = answers.slice(before).filter(({ url }) => !url.includes('/client/'));
  tally.check(`${name}: polls go on`, polls.length >= 2, `${polls.length} polls`);
  const wanted = gives304 ? 304 : 200;
  tally.check(`${name}: an unchanged answer is ${wanted}`, polls.slice(1).every(({ status }) => status === wanted),
    JSON.stringify(polls.map(({ status }) => status)));
  tally.check(`${name}: the SDK held an ETag`, polls.every(({ headers }) => Boolean(headers['if-none-match'])), JSON.stringify(polls.at(-1)?.headers));
}

async function checkUpdate(tally, name, { sdk, events }, stub) {
  await soon(tally, `${name}: off before the change`, () => !sdk.isEnabled('toggled'));
  const updates = events.update;
  stub.change('toggled', { enabled: true });
  await soon(tally, `${name}: on after the change`, () => sdk.isEnabled('toggled'));
  tally.check(`${name}: the change was an update`, events.update > updates, `${events.update} updates`);
  await soon(tally, `${name}: the upstream poll is conditional`, () => stub.asked('GET', '/api/client/features').at(-1)?.status === 304);
}

async function checkUsage(tally, name, { sdk, answers }, stub, metricsStatus) {
  stub.requests = stub.requests.filter(({ path }) => !path.startsWith('/api/client/metrics'));
  for (let n = 0; n < 5; n += 1) sdk.isEnabled('norwegians');
  const posts = () => answers.filter(({ url }) => url.endsWith('/client/metrics'));
  await soon(tally, `${name}: the SDK reports usage`, () => posts().length > 0);
  tally.check(`${name}: usage is accepted`, posts().every(({ status }) => status === metricsStatus), JSON.stringify(posts().map(({ status }) => status)));
  await soon(tally, `${name}: usage reaches upstream`, () => stub.counted('norwegians') >= 5, 20_000);
}

async function soon(tally, name, holds, within = 10_000) {
  let late = null;
  await eventually(name, holds, { within, every: 10 }).catch((err) => { late = err; });
  tally.check(name, late === null, late?.message ?? '');
}

async function checkProxyDialect(tally) {
  const which = TARGET === 'proxy-original' ? 'original' : 'offleash';
  const stub = await Stub.start();
  stub.serve(FLAGS, []);
  const proxy = await startProxy(which, {
    upstream: stub.url, token: BACKEND, clientKey: `other-key,${KEY}`, pollMs: 200,
    more: { CLIENT_KEY_HEADER_NAME: HEADER, ENABLE_ALL_ENDPOINT: 'true' },
  });
  const settings = { url: proxy.url, clientKey: KEY, headerName: HEADER };
  await checkSurface(tally, '/proxy', stub, settings, { metricsStatus: 200, postGives304: false });
  await checkAll(tally, '/proxy/all', { ...settings, url: `${proxy.url}/all` });
  await checkWrongKey(tally, '/proxy', { ...settings, clientKey: 'wrong' }, 401);
  await checkWrongKey(tally, '/proxy, key in another header', { ...settings, headerName: 'authorization' }, 401);
  await soon(tally, '/proxy: registers upstream', () => stub.asked('POST', '/api/client/register').length > 0);
  tally.check('/proxy: upstream sees our token', stub.asked('GET', '/api/client/features').every(({ headers }) => headers.authorization === BACKEND),
    'another Authorization');
  await proxy.child.stop();
  await stub.stop();
}

async function checkEdgeDialect(tally) {
  const which = TARGET === 'edge-original' ? 'original' : 'offleash';
  const stub = await Stub.start();
  stub.serve(FLAGS, []);
  stub.know(BACKEND, 'backend');
  stub.know(FRONTEND, 'frontend');
  const edge = await startEdge(which, { upstream: stub.url, tokens: [BACKEND] });
  for (const path of ['/api/frontend', '/api/proxy']) {
    const settings = { url: `${edge.root}${path}`, clientKey: FRONTEND };
    await checkSurface(tally, path, stub, settings, { metricsStatus: 202, postGives304: true });
    await checkAll(tally, `${path}/all`, { ...settings, url: `${settings.url}/all` });
    await checkWrongKey(tally, path, { ...settings, clientKey: '*:development.nobody' }, 403);
  }
  await edge.child.stop();
  await stub.stop();
}

/** The endpoints that list flags which are off, too. */
async function checkAll(tally, label, settings) {
  await withSdk(settings, async ({ sdk, events }) => {
    await soon(tally, `${label}: ready`, () => events.ready === 1);
    const listed = sdk.getAllToggles().map(({ name, enabled }) => [name, enabled]).sort();
    tally.equal(`${label}: lists flags that are off`, listed.filter(([name]) => name !== 'toggled'),
      [['always', true], ['never', false], ['norwegians', true], ['with-variant', true]]);
  });
}

async function checkWrongKey(tally, label, settings, status) {
  await withSdk(settings, async ({ sdk, events, answers }) => {
    await soon(tally, `${label}: a wrong key is an error`, () => events.errors.length > 0);
    tally.equal(`${label}: a wrong key is ${status}`, answers[0]?.status, status);
    tally.equal(`${label}: a wrong key reads nothing`, [sdk.getAllToggles(), events.ready], [[], 0]);
  });
}

await runThenEnd(async () => {
  const tally = new Tally();
  if (TARGET !== 'edge-original') await checkProxyDialect(tally);
  if (TARGET !== 'proxy-original') await checkEdgeDialect(tally);
  return tally.close();
});
