// Instances of Offleash that stop and come back on the same port, and what callers send them.

import { flag, rollout } from '../sdk/flags.mjs';
import { eventually } from '../lib/processes.mjs';
import { Stub } from '../lib/stub.mjs';
import { startEdge, startProxy } from '../lib/targets.mjs';

/** Unleash's token for definitions. */
export const BACKEND = '*:development.balancer-backend';

/** Where each surface is, the token it takes here, and the status of a usage report it takes in. */
export const SURFACES = {
  frontend: { path: '/api/frontend', accepted: 202 },
  proxy: { path: '/proxy', accepted: 200 },
};

/** Callers' tokens by dialect: one of Unleash's, one of our own making. */
export const TOKENS = { edge: '*:development.balancer-frontend', proxy: 'balancer-client-key' };

/** A stop takes long enough for a balancer to notice it: longer than its `inter` times `fall`. */
export const GRACE = { OFFLEASH_STOP_GRACE_SECONDS: '3', OFFLEASH_STOP_WITHIN_SECONDS: '9' };

/** Users whose answers differ: the flags that are on for each. */
export const USERS = { ann: ['for-ann', 'for-both'], bob: ['for-bob', 'for-both'] };

const forUsers = (name, ...users) => flag(name, true, [rollout(100, {
  constraints: [{ contextName: 'userId', operator: 'IN', values: users, inverted: false, caseInsensitive: false }],
})]);

/** The flags of a revision: the payload of one tells which it is. */
export const flagsOf = (revision) => [
  forUsers('for-ann', 'ann'),
  forUsers('for-bob', 'bob'),
  forUsers('for-both', 'ann', 'bob'),
  flag('revision', true, [rollout(100, {
    variants: [{ name: 'current', weight: 1000, weightType: 'fix', stickiness: 'default', payload: { type: 'number', value: String(revision) } }],
  })]),
];

/** An upstream that serves the first revision. */
export async function startUpstream() {
  const stub = await Stub.start();
  stub.know(BACKEND, 'client');
  stub.know(TOKENS.edge, 'frontend');
  stub.serve(flagsOf(1), []);
  return stub;
}

/** One instance, by default on a free port. `more`: further variables. */
export function startInstance(dialect, stub, { port, more = {} } = {}) {
  return dialect === 'edge'
    ? startEdge('offleash', { upstream: stub.url, tokens: [BACKEND], pollSeconds: 1, port, more })
    : startProxy('offleash', { upstream: stub.url, token: BACKEND, clientKey: TOKENS.proxy, pollMs: 500, port, more });
}

export const portOf = ({ root }) => Number(new URL(root).port);

/** Stops an instance by SIGTERM and starts another in its place. Returns that and the exit code of the first. */
export async function replaceInstance(dialect, stub, instance, { more = {} } = {}) {
  await instance.child.stop('SIGTERM');
  const next = await startInstance(dialect, stub, { port: portOf(instance), more });
  await eventually('the new instance is ready', async () => (await fetch(`${next.root}/internal-backstage/ready`)).ok, { child: next.child });
  return { next, code: instance.child.exitCode() };
}

/** Waits until the balancer in front sends the instance polls, and some have been answered. */
export function takesPart({ root, child }) {
  return eventually('the balancer sends the instance polls', async () => {
    const page = await (await fetch(`${root}/internal-backstage/metrics`)).text();
    const answered = [...page.matchAll(/^offleash_http_requests_total\{route="flags",status="[23]xx"\} (\d+)/gm)];
    return answered.reduce((total, [, count]) => total + Number(count), 0) >= 20;
  }, { child });
}
