// Three instances behind a balancer, restarted one after another by SIGTERM while pollers and
// reports go on: nobody notices, nobody is left behind, nothing is counted twice or not at all.

import { eventually, sleep } from '../lib/processes.mjs';
import { startBalancer } from './balancers.mjs';
import { Poller, Sender } from './callers.mjs';
import { GRACE, SURFACES, TOKENS, USERS, flagsOf, portOf, replaceInstance, startInstance, startUpstream, takesPart } from './fleet.mjs';

const INSTANCES = 3;
const POLLERS_PER_SURFACE = 10;
const SENDERS_PER_SURFACE = 3;
/** Milliseconds between two polls: thirty seconds in miniature, and some who ask far less often. */
const RESTS = [50, 50, 50, 50, 700];
/** One rolling restart of instances of a dialect behind a balancer. */
export async function checkRolling(tally, which, dialect) {
  const label = `${which}, ${dialect}'s dialect`;
  const stub = await startUpstream();
  const fleet = await Promise.all(Array.from({ length: INSTANCES }, () => startInstance(dialect, stub, { more: GRACE })));
  const balancer = await startBalancer(which, fleet.map(portOf));
  const pollers = everyone(POLLERS_PER_SURFACE, (surface, at, seed) =>
    new Poller(balancer.url, surface, TOKENS[dialect], Object.keys(USERS)[at % 2], RESTS[at % RESTS.length], seed));
  const senders = everyone(SENDERS_PER_SURFACE, (surface, at, seed) =>
    new Sender(balancer.url, surface, TOKENS[dialect], `counted-${seed}`, 50, seed));
  const callers = [...pollers, ...senders];
  for (const caller of callers) caller.start();

  const revision = await restartAll({ tally, label, dialect, stub, fleet });
  await eventually('the last flags are everywhere', () => pollers.every((poller) => poller.revision === revision), { within: 10_000 }).catch(() => {});
  await Promise.all(callers.map((caller) => caller.stop()));
  await Promise.all(fleet.map(({ child }) => child.stop('SIGTERM')));
  await balancer.child.stop();

  const failures = callers.flatMap((caller) => caller.failures);
  const requests = sum(callers, (caller) => caller.requests);
  tally.equal(`${label}: no request fails`, failures.map(({ why }) => why), []);
  tally.equal(`${label}: every poller ends on the newest flags`, pollers.map((poller) => poller.revision), pollers.map(() => revision));
  tally.check(`${label}: most polls find nothing new`, sum(pollers, (poller) => poller.notModified) > requests / 2, `${sum(pollers, (poller) => poller.notModified)} of ${requests}`);
  tally.check(`${label}: callers keep their connections`, callers.every((caller) => caller.requests < 10 || caller.connections.size <= 1 + caller.requests / 100),
    () => JSON.stringify(callers.map((caller) => [caller.requests, caller.connections.size])));
  for (const sender of senders) {
    tally.check(`${label}: ${sender.flag} was counted`, sender.accepted > 0, `${sender.requests} reports`);
    tally.equal(`${label}: of ${sender.flag} as much arrives as was accepted`, stub.counted(sender.flag), sender.accepted);
  }
  console.log(`${label}: ${requests} requests, ${failures.length} failed; revision ${revision}; pollers stepped back ${sum(pollers, (poller) => poller.stepsBack)} times`);
  await stub.stop();
}

/** Restarts every instance, and changes the flags before, during and after. Returns the last revision. */
async function restartAll({ tally, label, dialect, stub, fleet }) {
  let revision = 1;
  const change = () => stub.serve(flagsOf(revision += 1), []);
  for (const [at, instance] of fleet.entries()) {
    await takesPart(instance);
    change();
    const replacing = replaceInstance(dialect, stub, instance, { more: GRACE });
    await sleep(1500);
    change();
    const { next, code } = await replacing;
    fleet[at] = next;
    tally.equal(`${label}: instance ${at + 1} ends well`, code, 0);
    await takesPart(next);
  }
  change();
  return revision;
}

/** Callers of each surface, each with a number of its own. */
function everyone(perSurface, make) {
  return Object.values(SURFACES).flatMap((surface, of) =>
    Array.from({ length: perSurface }, (_, at) => make(surface, at, of * perSurface + at)));
}

const sum = (list, number) => list.reduce((total, each) => total + number(each), 0);
