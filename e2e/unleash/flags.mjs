// The flags of the comparison, and how they are made through the admin API.
//
// Flags named `exception-…` are where Unleash's own `/api/frontend` is no judge: they are left out
// of the comparison and asserted one by one in exceptions.mjs.

export const ENVIRONMENTS = ['development', 'production'];

/** Strategies a fresh server does not have; older installations do. */
const LEGACY_STRATEGIES = {
  userWithId: ['userIds'],
  gradualRolloutUserId: ['percentage', 'groupId'],
  gradualRolloutSessionId: ['percentage', 'groupId'],
  gradualRolloutRandom: ['percentage'],
};

const CONTEXT_FIELDS = ['country', 'plan', 'email', 'age', 'version', 'companyId', 'signedUp'];

const SEGMENTS = {
  nordics: [where('country', 'IN', ['NO', 'SE', 'DK', 'FI'])],
  paying: [where('plan', 'NOT_IN', ['free']), where('age', 'NUM_GTE', '18')],
  staff: [where('email', 'STR_ENDS_WITH', ['@Example.com'], { caseInsensitive: true })],
  'no-adults': [where('age', 'NUM_GTE', '18', { inverted: true })],
};

/** A constraint: a list for the operators that take one, else a single value. */
function where(contextName, operator, value, more = {}) {
  return Array.isArray(value)
    ? { contextName, operator, values: value, ...more }
    : { contextName, operator, value, values: [], ...more };
}

const rollout = (percentage, stickiness, more = {}) => ({
  name: 'flexibleRollout',
  parameters: { rollout: String(percentage), stickiness, groupId: more.groupId ?? `group-${percentage}-${stickiness}` },
  constraints: more.constraints ?? [],
  variants: more.variants ?? [],
  segments: more.segments ?? [],
  disabled: more.disabled ?? false,
});

const strategy = (name, parameters, more = {}) => ({ name, parameters, constraints: [], ...more });

const onFor = (...constraints) => [rollout(100, 'default', { constraints })];

const variant = (name, weight, more = {}) => ({
  name, weight, weightType: more.weightType ?? 'variable', stickiness: more.stickiness ?? 'default',
  ...(more.payload ? { payload: more.payload } : {}),
  ...(more.overrides ? { overrides: more.overrides } : {}),
});

const text = (value) => ({ type: 'string', value });
const json = (value) => ({ type: 'json', value: JSON.stringify(value) });

/**
 * `name`: what is made of it. `draws(context)` says for which contexts the outcome is a matter of
 * chance (no comparison possible); by default never. `production: false` leaves it off there.
 */
export const FLAGS = {
  'plain-on': { strategies: [strategy('default', {})] },
  'plain-off': { strategies: [strategy('default', {})], development: false, production: false },
  'only-in-development': { strategies: [strategy('default', {})], production: false },
  'only-in-production': { strategies: [strategy('default', {})], development: false },
  'Zulu-upper-case': { strategies: [strategy('default', {})], impressionData: true },
  '10-digits-first': { strategies: [strategy('default', {})] },
  '42': { strategies: [strategy('default', {})] },
  'dots.and_under~score': { strategies: [strategy('default', {})] },

  'rollout-0': { strategies: [rollout(0, 'default')] },
  'rollout-1-default': { strategies: [rollout(1, 'default')], draws: anonymous },
  'rollout-25-default': { strategies: [rollout(25, 'default')], draws: anonymous, impressionData: true },
  'rollout-50-user': { strategies: [rollout(50, 'userId')] },
  'rollout-33-session': { strategies: [rollout(33, 'sessionId')], draws: sessionless },
  'rollout-75-company': { strategies: [rollout(75, 'companyId')] },
  'rollout-99-user': { strategies: [rollout(99, 'userId')] },
  'rollout-100-company': { strategies: [rollout(100, 'companyId')] },
  'rollout-100-random': { strategies: [rollout(100, 'random')] },
  'rollout-0-random': { strategies: [rollout(0, 'random')] },
  'rollout-50-random': { strategies: [rollout(50, 'random')], draws: always },

  'address-list': { strategies: [strategy('remoteAddress', { IPs: '10.1.0.0/16, 203.0.113.50,127.0.0.1' })] },
  'host-ours': { strategies: [strategy('applicationHostname', { hostNames: 'other-host, E2E-host' })] },
  'host-other': { strategies: [strategy('applicationHostname', { hostNames: 'other-host' })] },
  'legacy-user-ids': { strategies: [strategy('userWithId', { userIds: 'user-1,user-2, user-3,77' })] },
  'legacy-user-50': { strategies: [strategy('gradualRolloutUserId', { percentage: '50', groupId: 'legacy-user-50' })] },
  'legacy-session-50': {
    strategies: [strategy('gradualRolloutSessionId', { percentage: '50', groupId: 'legacy-session-50' })],
    draws: sessionless,
  },
  'legacy-random-100': { strategies: [strategy('gradualRolloutRandom', { percentage: '100' })] },
  'legacy-random-50': { strategies: [strategy('gradualRolloutRandom', { percentage: '50' })], draws: always },

  'in-countries': { strategies: onFor(where('country', 'IN', ['NO', 'DE', 'São Paulo', 'a&b=c', '100%+'])) },
  'not-in-countries': { strategies: onFor(where('country', 'NOT_IN', ['NO', 'SE'])) },
  'not-in-inverted': { strategies: onFor(where('country', 'NOT_IN', ['NO', 'SE'], { inverted: true })) },
  'in-user-ids': { strategies: onFor(where('userId', 'IN', Array.from({ length: 60 }, (_, n) => `user-${n * 3}`))) },
  'in-app-name': { strategies: onFor(where('appName', 'IN', ['web', 'ios'])) },
  'in-environment': { strategies: onFor(where('environment', 'IN', ['production'])) },
  'starts-with': { strategies: onFor(where('email', 'STR_STARTS_WITH', ['ann', 'Bob'])) },
  'ends-with-any-case': { strategies: onFor(where('email', 'STR_ENDS_WITH', ['@EXAMPLE.com'], { caseInsensitive: true })) },
  'contains-inverted': { strategies: onFor(where('email', 'STR_CONTAINS', ['+', 'test'], { inverted: true })) },
  'number-equal': { strategies: onFor(where('age', 'NUM_EQ', '18')) },
  'number-greater': { strategies: onFor(where('age', 'NUM_GT', '18')) },
  'number-at-least': { strategies: onFor(where('age', 'NUM_GTE', '18.5')) },
  'number-less': { strategies: onFor(where('age', 'NUM_LT', '-1')) },
  'number-at-most-inverted': { strategies: onFor(where('age', 'NUM_LTE', '40', { inverted: true })) },
  'date-after-past': { strategies: onFor(where('currentTime', 'DATE_AFTER', '2020-01-01T00:00:00.000Z')) },
  'date-before-past': { strategies: onFor(where('currentTime', 'DATE_BEFORE', '2020-01-01T00:00:00.000Z')) },
  'date-before-future': { strategies: onFor(where('currentTime', 'DATE_BEFORE', '2999-12-31T23:59:59.000Z')) },
  'semver-equal': { strategies: onFor(where('version', 'SEMVER_EQ', '1.2.3')) },
  'semver-greater': { strategies: onFor(where('version', 'SEMVER_GT', '1.2.3-beta.2')) },
  'semver-less-inverted': { strategies: onFor(where('version', 'SEMVER_LT', '2.0.0', { inverted: true })) },
  'regex-plain': { strategies: onFor(where('email', 'REGEX', '^[a-z]+\\.[a-z]+@')) },
  'regex-any-case': { strategies: onFor(where('email', 'REGEX', '^ann', { caseInsensitive: true })) },
  'many-constraints': {
    strategies: onFor(
      where('country', 'IN', ['NO', 'SE', 'DE', 'FR']), where('age', 'NUM_GT', '10'),
      where('plan', 'STR_STARTS_WITH', ['p', 'e']), where('version', 'SEMVER_LT', '3.0.0')),
  },

  'segment-one': { strategies: [rollout(100, 'default', { segments: ['nordics'] })] },
  'segment-several': { strategies: [rollout(80, 'userId', { segments: ['paying', 'staff'] })] },
  'segment-inverted': { strategies: [rollout(100, 'default', { segments: ['no-adults'] })] },
  'segment-and-constraint': {
    strategies: [rollout(100, 'default', { segments: ['nordics'], constraints: [where('plan', 'IN', ['pro'])] })],
  },

  'strategies-any-of': {
    strategies: [
      rollout(10, 'userId', { groupId: 'any-1', variants: [variant('first', 1000, { stickiness: 'userId' })] }),
      rollout(100, 'userId', {
        groupId: 'any-2', constraints: [where('plan', 'IN', ['pro'])],
        variants: [variant('second', 1000, { stickiness: 'userId', payload: text('pro') })],
      }),
      strategy('userWithId', { userIds: 'user-5,user-6' }),
    ],
  },
  'strategy-switched-off': { strategies: [rollout(100, 'default', { disabled: true }), rollout(20, 'userId')] },

  'variants-of-strategy': {
    strategies: [rollout(100, 'userId', {
      variants: [
        variant('red', 300, { stickiness: 'userId', payload: text('rød "quoted" \\ and \u2028') }),
        variant('green', 300, { stickiness: 'userId', payload: json({ deep: { list: [1, 'two', null] } }) }),
        variant('blue', 400, { stickiness: 'userId', weightType: 'fix', payload: { type: 'csv', value: 'a,b\n1,2' } }),
      ],
    })],
    impressionData: true,
  },
  'variants-by-default-stickiness': {
    strategies: [rollout(60, 'default', {
      variants: [variant('one', 500), variant('two', 500, { payload: { type: 'number', value: '12.5' } })],
    })],
    draws: anonymous,
  },
  'variants-by-company': {
    strategies: [rollout(100, 'companyId', {
      variants: [variant('small', 500, { stickiness: 'companyId' }), variant('large', 500, { stickiness: 'companyId' })],
    })],
  },
  'variants-of-flag': {
    strategies: [rollout(100, 'default')],
    variants: [
      variant('sky', 334, { stickiness: 'userId', payload: text('sky'), overrides: [{ contextName: 'userId', values: ['user-7', 'user-8'] }] }),
      variant('sea', 333, { stickiness: 'userId', overrides: [{ contextName: 'country', values: ['NO'] }] }),
      variant('sand', 333, { stickiness: 'userId', payload: json([1, 2, 3]) }),
    ],
    draws: userless,
  },

  'parent-on': {
    strategies: [rollout(100, 'userId', {
      variants: [variant('alpha', 500, { stickiness: 'userId' }), variant('beta', 500, { stickiness: 'userId' })],
    })],
  },
  'parent-partly': { strategies: [rollout(40, 'userId')] },
  'child-of-on': { strategies: [rollout(50, 'userId')], parent: { feature: 'parent-on' } },
  'child-of-partly': { strategies: [strategy('default', {})], parent: { feature: 'parent-partly' } },
  'child-of-not-partly': { strategies: [strategy('default', {})], parent: { feature: 'parent-partly', enabled: false } },
  'child-of-variant': { strategies: [strategy('default', {})], parent: { feature: 'parent-on', variants: ['alpha'] } },
  'child-of-off': { strategies: [strategy('default', {})], parent: { feature: 'plain-off' } },

  'zz-made-last': { strategies: [strategy('default', {})], development: false, production: false },

  'exception-child-of-not-off': { strategies: [strategy('default', {})], parent: { feature: 'plain-off', enabled: false } },
  'exception-current-time': { strategies: onFor(where('currentTime', 'DATE_BEFORE', '2020-01-01T00:00:00.000Z')) },
  'exception-address-v6': { strategies: [strategy('remoteAddress', { IPs: '2001:db8::/32' })] },
  'exception-app-name': { strategies: onFor(where('appName', 'IN', ['frontend-api'])) },
  'exception-app-name-of-proxy': { strategies: onFor(where('appName', 'IN', ['unleash-proxy'])) },
  'exception-date-of-property': { strategies: onFor(where('signedUp', 'DATE_AFTER', '2024-01-01T00:00:00.000Z')) },
  'exception-variant-stickiness': {
    strategies: [rollout(100, 'userId', {
      groupId: 'sticky-twins',
      variants: [variant('left', 500, { stickiness: 'companyId' }), variant('right', 500, { stickiness: 'companyId' })],
    })],
  },
  'exception-variant-stickiness-twin': {
    strategies: [rollout(100, 'userId', {
      groupId: 'sticky-twins',
      variants: [variant('left', 500, { stickiness: 'userId' }), variant('right', 500, { stickiness: 'userId' })],
    })],
  },
};

export const isException = (name) => name.startsWith('exception-');

function always() {
  return true;
}

function userless(context) {
  return !context.userId;
}

function sessionless(context) {
  return !context.sessionId;
}

function anonymous(context) {
  return !context.userId && !context.sessionId;
}

/** Makes everything above through the admin API. */
export async function makeFlags(unleash) {
  for (const [name, parameters] of Object.entries(LEGACY_STRATEGIES)) {
    await unleash.admin('POST', 'strategies', {
      name, description: '', parameters: parameters.map((parameter) => ({ name: parameter, type: 'string', description: '', required: false })),
    });
  }
  for (const name of CONTEXT_FIELDS) await unleash.admin('POST', 'context', { name, stickiness: true });
  const segmentIds = {};
  for (const [name, constraints] of Object.entries(SEGMENTS)) {
    segmentIds[name] = (await unleash.admin('POST', 'segments', { name, constraints })).id;
  }
  for (const [name, flag] of Object.entries(FLAGS)) await makeFlag(unleash, name, flag, segmentIds);
  for (const [name, { parent }] of Object.entries(FLAGS)) {
    if (parent) await unleash.admin('POST', `projects/default/features/${name}/dependencies`, parent);
  }
  // A new dependency alone is no new revision: the server would go on serving what it remembers.
  for (const environment of ENVIRONMENTS) await unleash.setEnabled(LAST, environment, true);
}

/** Switched on last of all: who serves it serves everything. */
export const LAST = 'zz-made-last';

async function makeFlag(unleash, name, flag, segmentIds) {
  const path = `projects/default/features/${name}`;
  await unleash.admin('POST', 'projects/default/features', { name, type: 'release', impressionData: flag.impressionData ?? false });
  for (const environment of ENVIRONMENTS) {
    for (const each of flag.strategies) {
      const segments = (each.segments ?? []).map((segment) => segmentIds[segment]);
      await unleash.admin('POST', `${path}/environments/${environment}/strategies`, { ...each, segments });
    }
    if (flag.variants) await unleash.admin('PUT', `${path}/environments/${environment}/variants`, flag.variants);
    if (flag[environment] !== false) await unleash.setEnabled(name, environment, true);
  }
}
