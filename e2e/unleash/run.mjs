// Offleash behind the real Unleash, in both dialects, judged by the server's own `/api/frontend`.
//
// E2E_TARGET=proxy-original or edge-original (with EDGE_BIN) runs the same comparison against the
// programs Offleash replaces, to show that the comparison is right.

import { startPostgres } from '../lib/postgres.mjs';
import { eventually, runThenEnd } from '../lib/processes.mjs';
import { Tally } from '../lib/tally.mjs';
import { startEdge, startProxy } from '../lib/targets.mjs';
import { Unleash } from '../lib/unleash.mjs';
import { ask } from '../lib/wire.mjs';
import { compare, compareChance } from './compare.mjs';
import { makeContexts } from './contexts.mjs';
import { checkExceptions } from './exceptions.mjs';
import { ENVIRONMENTS, FLAGS, LAST, makeFlags } from './flags.mjs';
import { checkPropagation } from './propagation.mjs';
import { checkUsage } from './usage.mjs';

const TARGETS = ['offleash', 'proxy-original', 'edge-original'];
const TARGET = process.env.E2E_TARGET ?? 'offleash';
const CONTEXTS = Number(process.env.E2E_CONTEXTS ?? 400);
const CLIENT_KEY = 'e2e-client-key';

/** In which flags, and when, the originals differ from the server; ours must not. */
const KNOWN = {
  'proxy-original': {
    'address-list': {
      when: (context) => !context.remoteAddress,
      reason: 'writes the peer of an IPv4 connection as ::ffff:127.0.0.1, which no rule matches',
    },
  },
  'edge-original': {
    'host-ours': { when: () => true, reason: "asks the machine for its name, not the variable `HOSTNAME`" },
    'regex-plain': { when: () => true, reason: 'its engine is older than REGEX' },
    'regex-any-case': { when: () => true, reason: 'its engine is older than REGEX' },
    'semver-equal': {
      when: (context) => context.properties?.version?.includes('+'),
      reason: 'its engine compares build metadata',
    },
  },
};

const stopwatch = () => {
  const from = performance.now();
  return () => `${((performance.now() - from) / 1000).toFixed(1)} s`;
};

async function main() {
  if (!TARGETS.includes(TARGET)) throw new Error(`E2E_TARGET is one of ${TARGETS.join(', ')}`);
  const tally = new Tally();
  const took = stopwatch();
  const database = await startPostgres();
  const unleash = await Unleash.start(database.url);
  console.log(`Unleash is up after ${took()}`);
  await makeFlags(unleash);
  const tokens = {};
  for (const environment of ENVIRONMENTS) {
    tokens[environment] = {
      backend: await unleash.token('backend', environment),
      // One that sees every project and one that sees a single one.
      frontend: await unleash.token('frontend', environment, environment === 'production' ? 'default' : undefined),
    };
  }
  for (const environment of ENVIRONMENTS) await settled(unleash, environment, tokens[environment]);
  console.log(`${Object.keys(FLAGS).length} flags in ${ENVIRONMENTS.length} environments after ${took()}`);
  if (TARGET !== 'edge-original') await checkProxy(tally, unleash, tokens);
  if (TARGET !== 'proxy-original') await checkEdge(tally, unleash, tokens);
  console.log(`${took()} in all`);
  return tally.close();
}

/** The server answers from memory, which it renews once a second: waits until it knows all. */
async function settled(unleash, environment, { backend, frontend }) {
  const isOn = ({ name, enabled }) => name === LAST && enabled;
  await eventually(`${environment}: the server serves the last flag`, async () =>
    (await unleash.clientFeatures(backend)).features.some(isOn) &&
    (await ask(`${unleash.url}/api/frontend`, frontend, {})).body.toggles.some(isOn));
}

async function checkProxy(tally, unleash, tokens) {
  const which = TARGET === 'proxy-original' ? 'original' : 'offleash';
  const started = await startProxy(which, { upstream: unleash.url, token: tokens.development.backend, clientKey: CLIENT_KEY });
  const target = { ...started, token: CLIENT_KEY, appNames: (appName) => [appName, 'unleash-proxy'] };
  console.log(`The Proxy's dialect (${which}):`);
  tally.equal('proxy: a wrong key is refused', (await ask(target.url, 'wrong', {})).status, 401);
  await check(tally, { dialect: 'proxy', unleash, tokens, environments: ['development'], targetFor: () => target, accepts: 200 });
  await started.child.stop();
}

async function checkEdge(tally, unleash, tokens) {
  const which = TARGET === 'edge-original' ? 'original' : 'offleash';
  const started = await startEdge(which, { upstream: unleash.url, tokens: ENVIRONMENTS.map((environment) => tokens[environment].backend) });
  const targetFor = (environment) => ({ ...started, token: tokens[environment].frontend, appNames: (appName) => [appName] });
  console.log(`Edge's dialect (${which}):`);
  tally.equal('edge: an unknown token is refused', (await ask(started.url, '*:development.unknown', {})).status, 403);
  tally.equal('edge: a backend token is refused', (await ask(started.url, tokens.development.backend, {})).status, 403);
  await check(tally, { dialect: 'edge', unleash, tokens, environments: ENVIRONMENTS, targetFor, accepts: 202 });
  await started.child.stop();
}

async function check(tally, { dialect, unleash, tokens, environments, targetFor, accepts }) {
  const isOurs = TARGET === 'offleash';
  const contexts = makeContexts(CONTEXTS, 20261122);
  const server = (environment) => ({ url: `${unleash.url}/api/frontend`, token: tokens[environment].frontend, environment });
  const before = tally.passed + tally.failed;
  for (const environment of environments) {
    const known = KNOWN[TARGET] ?? {};
    const counts = await compare(tally, { dialect, server: server(environment), target: targetFor(environment), contexts, isOurs, known });
    report(tally, dialect, environment, contexts.length, counts, known);
  }
  await compareChance(tally, { dialect, target: targetFor('development') });
  if (isOurs) await checkExceptions(tally, { dialect, server: server('development'), target: targetFor('development') });
  const one = { dialect, unleash, environment: 'development', target: targetFor('development') };
  await checkPropagation(tally, { ...one, backendToken: tokens.development.backend, flag: 'plain-on', isOurs });
  await checkUsage(tally, { ...one, accepts, flag: 'in-app-name' });
  console.log(`  ${tally.passed + tally.failed - before} checks`);
}

/** Says what was compared and what was not, and that the contexts reached the flags at all. */
function report(tally, dialect, environment, contexts, counts, known) {
  console.log(`  ${environment}: ${contexts} contexts by GET and POST, ${counts.toggles} toggles, ` +
    `${counts.on.size} flags on for somebody, ${counts.variants.size} variants; ` +
    `left out: ${counts.chance} drawn by chance, ${counts.exceptions} of exception flags, ${counts.known} known differences`);
  for (const [name, { reason }] of Object.entries(known)) console.log(`  known difference of this target: ${name}: ${reason}`);
  const differing = [...counts.differing].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} ${count}×`);
  if (differing.length > 0) console.log(`  differing: ${differing.join(', ')}`);
  if (environment !== 'development') return;
  // A comparison in which nothing is ever on, or ever off, would prove nothing.
  tally.check(`${dialect}: the contexts reach most flags`, counts.on.size >= 45, `only ${counts.on.size} are on for somebody`);
  tally.check(`${dialect}: the contexts reach the variants`, counts.variants.size >= counts.on.size + 8, `${counts.variants.size} variants`);
}

await runThenEnd(main);
