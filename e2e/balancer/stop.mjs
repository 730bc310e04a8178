// The moment in which an instance stops to listen: a connection is refused, so that a balancer may
// ask another instance, or it is served. Nothing in between: what was sent may not be sent again.

import { sleep } from '../lib/processes.mjs';
import { Connection } from './connection.mjs';
import { portOf, startInstance, startUpstream } from './fleet.mjs';
import { asks } from './unread.mjs';

const ROUNDS = 5;
const CALLERS = 24;
/** Short: it is the end of the grace that is looked at. */
const GRACE = { OFFLEASH_STOP_GRACE_SECONDS: '1', OFFLEASH_STOP_WITHIN_SECONDS: '9' };

/** Callers that open a connection for every request, until they are refused. */
export async function checkStop(tally) {
  const stub = await startUpstream();
  for (let round = 1; round <= ROUNDS; round += 1) {
    const instance = await startInstance('edge', stub, { more: GRACE });
    const port = portOf(instance);
    const seen = { served: 0, lost: [] };
    const callers = Array.from({ length: CALLERS }, () => callUntilRefused(port, seen));
    await sleep(300);
    const before = seen.served;
    await instance.child.stop('SIGTERM');
    await Promise.all(callers);
    tally.check(`stop ${round}: requests are served after SIGTERM`, seen.served > before, `${before} before, none after`);
    tally.equal(`stop ${round}: every connection is served or refused`, seen.lost, []);
    console.log(`stop ${round}: ${seen.served} connections served, ${seen.served - before} of them after SIGTERM, ${seen.lost.length} lost`);
  }
  await stub.stop();
}

async function callUntilRefused(port, seen) {
  for (;;) {
    const connection = await Connection.open(port).catch((err) => err);
    if (connection.code === 'ECONNREFUSED') return;
    if (connection instanceof Error) {
      seen.lost.push(`not connected: ${connection.code}`);
      continue;
    }
    const problem = await asks(connection, 'frontend', 'ann').catch((err) => err.message);
    connection.close();
    if (problem === null) seen.served += 1;
    else seen.lost.push(problem);
  }
}
