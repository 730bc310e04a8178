// Offleash behind HAProxy and nginx: connections that clients share, bodies that nobody read.
// `docs/balancers` has the configurations.

import { runThenEnd } from '../lib/processes.mjs';
import { Tally } from '../lib/tally.mjs';
import { BALANCERS, startBalancer } from './balancers.mjs';
import { startInstance, startUpstream } from './fleet.mjs';
import { checkShared, checkUnread } from './unread.mjs';

const portOf = ({ root }) => Number(new URL(root).port);

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
      console.log(`${way.route}, ${surface}: ${kept} connections kept after a refusal, ${closed} closed with it`);
    }
    for (const way of behind) await checkShared(tally, { surface, ...way, instancePort: direct.port });
    await instance.child.stop();
  }
  await stub.stop();
}

await runThenEnd(async () => {
  const tally = new Tally();
  await unreadBodies(tally);
  return tally.close();
});
