// Offleash behind HAProxy and nginx, configured as docs/balancers shows:
//
//   node balancer/run.mjs           everything
//   node balancer/run.mjs unread    connections that clients share, bodies that nobody read
//   node balancer/run.mjs stop      connections that come while an instance stops to listen
//   node balancer/run.mjs haproxy   a rolling restart behind HAProxy; `nginx`: behind nginx

import { runThenEnd } from '../lib/processes.mjs';
import { Tally } from '../lib/tally.mjs';
import { BALANCERS, startBalancer } from './balancers.mjs';
import { portOf, startInstance, startUpstream } from './fleet.mjs';
import { checkRolling } from './rolling.mjs';
import { checkStop } from './stop.mjs';
import { checkBrokenOff, checkShared, checkUnread } from './unread.mjs';

/** What to run: everything, unless something is named. */
const isAsked = (part) => process.argv.length < 3 || process.argv.includes(part);

async function unreadBodies(tally) {
  const stub = await startUpstream();
  for (const [surface, dialect] of [['proxy', 'proxy'], ['frontend', 'edge']]) {
    const instance = await startInstance(dialect, stub);
    const direct = { route: 'direct', port: portOf(instance) };
    const behind = [];
    for (const which of BALANCERS) {
      const { port } = await startBalancer(which, [direct.port], { workers: 1 });
      behind.push({ route: which, port });
    }
    for (const way of [direct, ...behind]) {
      const { kept, closed } = await checkUnread(tally, { surface, ...way });
      await checkBrokenOff(tally, { surface, ...way });
      console.log(`${way.route}, ${surface}: ${kept} connections kept after a refusal, ${closed} closed with it`);
    }
    for (const way of behind) await checkShared(tally, { surface, ...way, instancePort: direct.port });
    await instance.child.stop();
  }
  await stub.stop();
}

await runThenEnd(async () => {
  const tally = new Tally();
  if (isAsked('unread')) await unreadBodies(tally);
  if (isAsked('stop')) await checkStop(tally);
  for (const which of BALANCERS.filter(isAsked)) {
    for (const dialect of ['edge', 'proxy']) await checkRolling(tally, which, dialect);
  }
  return tally.close();
});
