// Offleash beside the Unleash Proxy (npm `@unleash/proxy`): the same variables, the same upstream,
// the same random requests as raw bytes. Status, body and the headers of the contract have to be
// equal, or the difference has to be on the list of those we made on purpose.

import { readFileSync } from 'node:fs';

import { runThenEnd, eventually } from '../lib/processes.mjs';
import { Dice } from '../lib/random.mjs';
import { Stub } from '../lib/stub.mjs';
import { Tally } from '../lib/tally.mjs';
import { startProxy } from '../lib/targets.mjs';
import { DIFFERENCES, sorted } from './differences.mjs';
import { exchange, written } from './raw.mjs';
import { request } from './requests.mjs';

const SEED = Number(process.env.E2E_SEED ?? 20_261_123);
const REQUESTS = Number(process.env.E2E_REQUESTS ?? 1000);
const KEY = 'the-client-key';
const SERVER_TOKEN = 'the-server-token';
const HEADERS = ['content-type', 'cache-control', 'vary', 'etag', 'content-encoding', 'access-control-allow-origin', 'access-control-expose-headers',
  'access-control-allow-methods', 'access-control-allow-headers', 'access-control-max-age', 'access-control-allow-credentials', 'allow', 'location',
  'www-authenticate', 'x-content-type-options', 'content-security-policy'];

const constraint = (contextName, operator, values, more = {}) => ({ contextName, operator, values, inverted: false, caseInsensitive: false, ...more });
const strategy = (constraints, more = {}) => ({ name: 'flexibleRollout', parameters: { rollout: '100', stickiness: 'default', groupId: 'g' }, constraints, ...more });
const flag = (name, enabled, strategies, more = {}) => ({ name, type: 'release', project: 'default', enabled, stale: false, impressionData: false, strategies, variants: [], ...more });
const variant = (name, weight) => ({ name, weight, weightType: 'fix', stickiness: 'userId', payload: { type: 'string', value: `<${name}>` } });

// Not in the order of their names, and nothing that draws lots for a caller without a name.
const FLAGS = [
  flag('always', true, []),
  flag('never', false, []),
  flag('by-user', true, [strategy([constraint('userId', 'IN', ['7', 'user 2', 'true'])])]),
  flag('by-tenant', true, [strategy([constraint('tenantId', 'IN', ['7', 'NO', 'Åsa', '', 'null'])])]),
  flag('by-session', true, [strategy([constraint('sessionId', 'IN', ['user-1', '0'])])]),
  flag('by-address', true, [{ name: 'remoteAddress', parameters: { IPs: '10.0.0.7,192.168.1.0/24' }, constraints: [] }]),
  flag('by-app', true, [strategy([constraint('appName', 'IN', ['shop', 'unleash-proxy'])])]),
  flag('by-environment', true, [strategy([constraint('environment', 'IN', ['prod', 'default'])])]),
  flag('by-time', true, [strategy([constraint('currentTime', 'DATE_AFTER', [], { value: '2028-01-01T00:00:00Z' })])]),
  flag('rolled-out', true, [strategy([], { parameters: { rollout: '50', stickiness: 'userId', groupId: 'r' } })]),
  flag('rolled-out-s', true, [strategy([], { parameters: { rollout: '50', stickiness: 'userId', groupId: 's' } })]),
  flag('rolled-out-t', true, [strategy([], { parameters: { rollout: '50', stickiness: 'userId', groupId: 't' } })]),
  flag('rolled-out-u', true, [strategy([], { parameters: { rollout: '50', stickiness: 'userId', groupId: 'u' } })]),
  flag('rolled-out-v', true, [strategy([], { parameters: { rollout: '50', stickiness: 'userId', groupId: 'v' } })]),
  flag('variants', true, [strategy([], { parameters: { rollout: '100', stickiness: 'userId', groupId: 'v' } })], { variants: [variant('red', 400), variant('blue', 600)], impressionData: true }),
  flag('region', true, [strategy([constraint('region', 'STR_STARTS_WITH', ['N', 'user'])], { segments: [3] })]),
  flag('odd', true, [strategy([constraint('odd key', 'NOT_IN', ['7'])]), strategy([constraint('ключ', 'IN', ['SE'])])], { impressionData: undefined }),
];
const SEGMENTS = [{ id: 3, constraints: [constraint('region', 'STR_CONTAINS', ['O', '1'])] }];

const CONFIGURATIONS = [
  { name: 'defaults', base: '', header: 'authorization', more: {} },
  { name: 'all flags, listed origins, trusted forwarding, own header', base: '', header: 'x-key',
    more: { ENABLE_ALL_ENDPOINT: 'true', CORS_ORIGIN: 'https://app.example,https://b.example', TRUST_PROXY: 'true', CLIENT_KEY_HEADER_NAME: 'X-Key', EXP_SERVER_SIDE_SDK_CONFIG_TOKENS: SERVER_TOKEN } },
  { name: 'a base path, one origin, an environment', base: '/base', header: 'authorization',
    more: { PROXY_BASE_PATH: '/base', CORS_ORIGIN: 'https://app.example', CORS_CREDENTIALS: 'true', CORS_ALLOWED_HEADERS: 'x-one', UNLEASH_ENVIRONMENT: 'prod', ENABLE_ALL_ENDPOINT: '1' } },
];

/** Sends one request to one of the two; one with its own tag after it was asked without. */
async function ask(port, { tag, ...asked }) {
  if (tag === null) return exchange(port, written(asked));
  let held = tag;
  if (tag.startsWith('own')) {
    const own = (await exchange(port, written(asked))).header('etag') ?? 'W/"none"';
    held = { own, 'own, listed': `"x", ${own}, W/"y"`, 'own, strong': own.replace('W/', '') }[tag];
  } else if (tag === 'other') held = 'W/"other"';
  return exchange(port, written({ ...asked, headers: [...asked.headers, ['If-None-Match', held]] }));
}

/** The parts of an answer that are compared, each as a text. */
function parts({ status, header, body }) {
  const told = Object.fromEntries(HEADERS.map((name) => [name, header(name)]));
  // Which words, not in what order or case they are listed.
  told.vary = told.vary?.toLowerCase().split(/, */).sort().join(', ') ?? null;
  // Each makes its own tags: what counts is whether there is one, and of what kind.
  told.etag = told.etag === null ? null : told.etag.startsWith('W/"') ? 'weak' : 'strong';
  return { status: String(status), body, ...told };
}

/** The listed difference that explains a part, or none. */
async function reason(part, asked, ours, theirs, again) {
  const covering = (original) => DIFFERENCES.filter((each) => each.covers({ part, asked, ours, theirs: original }));
  for (const difference of covering(theirs)) {
    if (!difference.plainly) return difference;
    const plain = parts(await again(difference.plainly(asked)));
    if (sorted(plain.body) === sorted(ours.body) || covering(plain).some((each) => !each.plainly)) return difference;
  }
  return null;
}

class Ledger {
  #seen = new Map(DIFFERENCES.map(({ id }) => [id, 0]));
  #unlisted = new Map();
  #held = 0;
  asked = 0;
  equal = 0;

  /** Judges two answers to one request; `again` asks the original another one. */
  async take(asked, ours, theirs, again) {
    this.asked += 1;
    const [mine, original] = [parts(ours), parts(theirs)];
    const unequal = Object.keys(mine).filter((part) => mine[part] !== original[part]);
    if (unequal.length === 0) this.equal += 1;
    let isListed = true;
    for (const part of unequal) {
      const difference = await reason(part, asked, mine, original, again);
      if (difference) this.#seen.set(difference.id, this.#seen.get(difference.id) + 1);
      else {
        isListed = false;
        const sort = `${part}: ${original.status} ${short(original[part])} -> ${mine.status} ${short(mine[part])}`;
        this.#unlisted.set(sort, [...(this.#unlisted.get(sort) ?? []), asked]);
      }
    }
    if (isListed) this.#held += 1;
  }

  close(tally) {
    for (const { id, rare } of DIFFERENCES) if (!rare) tally.check(`the listed difference \`${id}\` occurs`, this.#seen.get(id) > 0, 'not once in this run');
    for (const [sort, cases] of this.#unlisted) {
      const [{ method, target, headers, body, tag }] = cases;
      tally.check(`${sort} (${cases.length} times)`, false, `${method} ${target} ${JSON.stringify(headers)} tag=${tag} ${body?.toString().slice(0, 300) ?? ''}`);
    }
    tally.passed += this.#held;
    const listed = [...this.#seen].map(([id, count]) => `${id} ${count}`).join(', ');
    console.log(`${this.asked} requests, ${this.equal} answered alike to the last header; on the list: ${listed}`);
  }
}

const short = (text) => (text === null ? 'absent' : text.length > 160 ? `${text.slice(0, 160)}…` : text);

/** What the list says stands in MIGRATING.md, word for word and nothing else. */
function checkDocument(tally) {
  const document = readFileSync(new URL('../../MIGRATING.md', import.meta.url), 'utf8');
  const [, section = ''] = document.split('### What answers differently\n');
  const rows = section.split('\n#')[0].split('\n').filter((line) => line.startsWith('| **'));
  const expected = DIFFERENCES.map(({ id, text }) => `| **${id}** | ${text} |`);
  tally.equal('MIGRATING.md has the list', rows, expected);
}

await runThenEnd(async () => {
  const [tally, ledger] = [new Tally(), new Ledger()];
  checkDocument(tally);
  for (const [at, settings] of CONFIGURATIONS.entries()) {
    const stub = await Stub.start();
    stub.serve(FLAGS, SEGMENTS);
    const start = (which) => startProxy(which, { upstream: stub.url, token: '*:development.backend', clientKey: KEY, more: settings.more });
    const [ours, theirs] = [await start('offleash'), await start('original')];
    await eventually('both have the flags', () => stub.asked('GET', '/api/client/features').filter(({ status }) => status === 304).length > 1);
    const dice = new Dice(SEED + at);
    const ports = [ours, theirs].map(({ root }) => Number(new URL(root).port));
    for (let count = 0; count < REQUESTS; count += 1) {
      const asked = request(dice, { ...settings, key: KEY, serverToken: SERVER_TOKEN });
      const [mine, original] = await Promise.all(ports.map((port) => ask(port, asked)));
      await ledger.take(asked, mine, original, (plain) => ask(ports[1], { ...plain, tag: null }));
    }
    await ours.child.stop();
    await theirs.child.stop();
    await stub.stop();
  }
  ledger.close(tally);
  return tally.close();
});
