// Realistic flags and contexts, the same bytes for the same numbers.
//
//   node loadtest/fixtures.mjs 200 > flags.json            a features payload of 200 flags
//   node loadtest/fixtures.mjs 200 --contexts 1000 > c.txt  one query string per line
//
// Of the flags a third are off. The rest: a quarter plainly on, the others a rollout of 0 to 100 %
// under up to three constraints; one segment per fifty flags; a fifth of the rollouts choose among
// variants with payloads; one flag in twenty depends on another.

import { pathToFileURL } from 'node:url';

const PERCENTAGES = [0, 5, 10, 25, 50, 75, 100];
const STICKINESS = ['default', 'default', 'userId', 'sessionId', 'companyId'];
const COUNTRIES = ['NO', 'SE', 'DK', 'FI', 'DE', 'FR', 'ES', 'IT', 'GB', 'US', 'BR', 'IN', 'JP', 'KE'];
const PLANS = ['free', 'basic', 'pro', 'enterprise'];
const AREAS = ['checkout', 'search', 'profile', 'billing', 'editor', 'mobile', 'admin', 'onboarding', 'reports', 'chat'];
const DOMAINS = ['example.com', 'example.org', 'mail.test', 'corp.test'];

/** Numbers in [0, 1) that are the same in every run: a linear congruence, its upper bits. */
function dice(seed) {
  let state = BigInt(seed);
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return Number(state >> 32n) / 2 ** 32;
  };
}

const chooser = (roll) => ({
  below: (limit) => Math.floor(roll() * limit),
  of: (list) => list[Math.floor(roll() * list.length)],
  chance: (share) => roll() < share,
});

/** A features payload as `/api/client/features` answers it. */
export function makePayload(count, seed = 7) {
  const pick = chooser(dice(seed));
  const segments = Array.from({ length: Math.max(1, Math.floor(count / 50)) }, (_, n) => makeSegment(pick, n + 1));
  const features = Array.from({ length: count }, (_, n) => makeFlag(pick, n, segments));
  addParents(pick, features);
  const query = { environment: 'development', inlineSegmentConstraints: false };
  return { version: 2, features, segments, query, meta: { revisionId: 1, etag: `"fixture-${count}-${seed}:1"`, queryHash: 'fixture' } };
}

function makeSegment(pick, id) {
  const constraints = [makeList(pick, 'userId', 'IN', 100 + pick.below(400))];
  if (pick.chance(0.5)) constraints.push(constraint('plan', 'IN', { values: ['pro', 'enterprise'] }));
  return { id, name: `segment-${id}`, constraints };
}

function makeFlag(pick, n, segments) {
  const name = `${pick.of(AREAS)}-${pick.of(['new', 'beta', 'v2', 'fast', 'quiet'])}-${String(n).padStart(4, '0')}`;
  const off = pick.chance(1 / 3);
  const plain = pick.chance(1 / 4);
  const strategies = plain ? [{ name: 'default', parameters: {}, constraints: [], variants: [] }] : makeStrategies(pick, name, segments);
  return {
    name, type: pick.of(['release', 'experiment', 'operational']), description: `Fixture flag ${n}`, enabled: !off,
    project: 'default', stale: false, impressionData: pick.chance(0.1), strategies, variants: [],
  };
}

function makeStrategies(pick, name, segments) {
  return Array.from({ length: pick.chance(0.15) ? 2 : 1 }, () => {
    const stickiness = pick.of(STICKINESS);
    return {
      name: 'flexibleRollout',
      parameters: { rollout: String(pick.of(PERCENTAGES)), stickiness, groupId: name },
      constraints: Array.from({ length: pick.below(4) }, () => makeConstraint(pick)),
      segments: pick.chance(0.1) ? [pick.of(segments).id] : [],
      variants: pick.chance(0.2) ? makeVariants(pick, stickiness) : [],
    };
  });
}

function makeVariants(pick, stickiness) {
  const count = 2 + pick.below(3);
  const share = Math.floor(1000 / count);
  return Array.from({ length: count }, (_, n) => ({
    name: `variant-${'abcd'[n]}`,
    weight: n === 0 ? 1000 - share * (count - 1) : share,
    weightType: 'variable',
    stickiness,
    payload: pick.chance(0.5)
      ? { type: 'string', value: `text-${pick.below(1000)}` }
      : { type: 'json', value: JSON.stringify({ title: `Title ${n}`, limit: pick.below(100), enabled: pick.chance(0.5) }) },
  }));
}

const constraint = (contextName, operator, more) => ({
  contextName, operator, values: [], inverted: false, caseInsensitive: false, ...more,
});

/** An `IN` or `NOT_IN` list of distinct values. */
function makeList(pick, contextName, operator, length) {
  const first = pick.below(1000);
  const prefix = { userId: 'user-', companyId: 'company-' }[contextName];
  return constraint(contextName, operator, { values: Array.from({ length }, (_, n) => `${prefix}${first + n * 3}`) });
}

function makeConstraint(pick) {
  switch (pick.below(10)) {
    case 0:
    case 1: return makeList(pick, pick.of(['userId', 'companyId']), pick.chance(0.8) ? 'IN' : 'NOT_IN', 3 + pick.below(498));
    case 2:
    case 3: return constraint('country', pick.of(['IN', 'NOT_IN']), { values: COUNTRIES.slice(pick.below(7), 8 + pick.below(6)) });
    case 4: return constraint('plan', 'IN', { values: PLANS.slice(pick.below(3)) });
    case 5: return constraint('email', 'STR_ENDS_WITH', { values: [`@${pick.of(DOMAINS)}`], caseInsensitive: pick.chance(0.5) });
    case 6: return constraint('email', pick.of(['STR_CONTAINS', 'STR_STARTS_WITH']), { values: ['user-1', 'user-2', 'ann'] });
    case 7: return constraint('age', pick.of(['NUM_GT', 'NUM_GTE', 'NUM_LT', 'NUM_LTE']), { value: String(10 + pick.below(60)) });
    case 8: return constraint('appVersion', pick.of(['SEMVER_GT', 'SEMVER_LT']), { value: `${1 + pick.below(4)}.${pick.below(10)}.0` });
    default: return constraint('currentTime', pick.of(['DATE_AFTER', 'DATE_BEFORE']), { value: '2026-01-01T00:00:00.000Z' });
  }
}

/** One flag in twenty depends on an earlier one that depends on nothing. */
function addParents(pick, features) {
  const wanted = Math.floor(features.length / 20);
  const dependants = () => features.filter(({ dependencies }) => dependencies).length;
  for (let tries = 0; dependants() < wanted && tries < 20 * wanted; tries += 1) {
    const child = features[1 + pick.below(features.length - 1)];
    const parent = features[pick.below(features.indexOf(child))];
    const isParent = features.some(({ dependencies }) => dependencies?.[0].feature === child.name);
    if (child.dependencies || parent.dependencies || isParent) continue;
    child.dependencies = [{ feature: parent.name, enabled: true, variants: [] }];
  }
}

/** Contexts of frontends as query strings: a user, a session, an address and five properties. */
export function makeContexts(count, seed = 11) {
  const pick = chooser(dice(seed));
  return Array.from({ length: count }, () => {
    const user = pick.below(3000);
    const pairs = new URLSearchParams({
      appName: pick.of(['web', 'ios', 'android']), environment: 'default',
      userId: `user-${user}`, sessionId: String(pick.below(1_000_000_000)),
      remoteAddress: `10.${pick.below(256)}.${pick.below(256)}.${pick.below(256)}`,
    });
    pairs.append('properties[country]', pick.of(COUNTRIES));
    pairs.append('properties[plan]', pick.of(PLANS));
    pairs.append('properties[email]', `user-${user}@${pick.of(DOMAINS)}`);
    pairs.append('properties[age]', String(13 + pick.below(70)));
    pairs.append('properties[appVersion]', `${1 + pick.below(4)}.${pick.below(10)}.${pick.below(20)}`);
    pairs.append('properties[companyId]', `company-${pick.below(1200)}`);
    return pairs.toString();
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [flags, option, contexts] = process.argv.slice(2);
  if (!(Number(flags) > 0)) throw new Error('usage: fixtures.mjs <flags> [--contexts <count>]');
  const text = option === '--contexts' ? makeContexts(Number(contexts)).join('\n') : JSON.stringify(makePayload(Number(flags)), null, 1);
  process.stdout.write(`${text}\n`);
}
