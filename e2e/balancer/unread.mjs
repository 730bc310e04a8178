// Refused requests on kept-alive connections: whatever becomes of their bodies, the request behind
// each gets its own answer, or the connection closes with the refusal and nothing else is said on it.

import { readFile } from 'node:fs/promises';

import { Connection, Ended } from './connection.mjs';
import { SURFACES, TOKENS, USERS } from './fleet.mjs';
import { FRAMINGS, SMUGGLED, refusals, sizes, written } from './refusals.mjs';

/** When the request behind the refused one is sent. */
const BEHIND = 'right behind it';
const AFTER = 'after its answer';
/** Cases at once: a connection that closes may linger for a second. */
const AT_ONCE = 16;

/** Asks everything of one surface at `port`. `route`: what lies between, for the names of checks. */
export async function checkUnread(tally, { surface, route, port }) {
  const cases = refusals(surface).flatMap((refusal) => sizes(surface).flatMap((size) => FRAMINGS.flatMap((framing) =>
    [BEHIND, AFTER].map((manner) => ({ surface, port, refusal, size, framing, manner })))));
  const seen = { kept: 0, closed: 0 };
  const work = async () => {
    for (let asked = cases.pop(); asked; asked = cases.pop()) {
      const { refusal, size, framing, manner } = asked;
      const problem = await once(asked, seen).catch((err) => err.message);
      tally.check(`${route}, ${surface}: ${refusal.name}, ${size.bytes} B ${framing.name}, the next ${manner}`, problem === null, problem ?? '');
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return seen;
}

/** One refusal and what follows. Returns what is wrong, or null. */
async function once({ surface, port, refusal, size, framing, manner }, seen) {
  const status = size.over ? refusal.over : refusal.status;
  const { head, body } = written(refusal, refusal.body(size.bytes), framing);
  const rest = manner === BEHIND ? Buffer.concat([body, question(surface, 'ann')]) : body;
  const connection = await Connection.open(port);
  try {
    connection.send(framing.expects ? head : Buffer.concat([head, rest]));
    let answer = await connection.answer(refusal.method);
    if (framing.expects && (answer.status === 100 || !answer.closes)) connection.send(rest);
    while (answer.status === 100) answer = await connection.answer(refusal.method);
    if (answer.status !== status) return `refused with ${answer.status}, not ${status}: ${answer.body.slice(0, 100)}`;
    seen[answer.closes ? 'closed' : 'kept'] += 1;
    if (answer.closes) return await closing(connection, manner) ?? await onANewOne(surface, port);
    if (manner === AFTER) connection.send(question(surface, 'ann'));
    return await answers(connection, 'ann') ?? await asks(connection, surface, 'bob');
  } finally {
    connection.close();
  }
}

/**
 * What comes after an answer that announced the end of the connection: the end. A request that was
 * on its way already may be answered before, and rightly.
 */
async function closing(connection, manner) {
  try {
    if (manner === BEHIND) return await answers(connection, 'ann');
  } catch (err) {
    if (!(err instanceof Ended)) throw err;
  }
  const end = await connection.ended();
  if (connection.unread) return `after \`Connection: close\`: ${JSON.stringify(connection.unread.slice(0, 80))}`;
  return end.clean ? null : `not closed but ${end.message}`;
}

/**
 * Whether a balancer at `port` sends one client's refusal and another client's request over one
 * connection to the instance at `instancePort`: else this file would show nothing about it. Nobody
 * else may use either meanwhile.
 */
export async function checkShared(tally, { surface, route, port, instancePort }) {
  const [refused, other] = [await Connection.open(port), await Connection.open(port)];
  const size = { bytes: 100_000, over: false };
  let shared = 0;
  const all = refusals(surface);
  for (const refusal of all) {
    const { head, body } = written(refusal, refusal.body(size.bytes), FRAMINGS[0]);
    refused.send(Buffer.concat([head, body]));
    await refused.answer(refusal.method);
    const before = await openTo(instancePort);
    const problem = await asks(other, surface, 'bob');
    tally.check(`${route}, ${surface}: ${refusal.name}, the next from another client`, problem === null, problem ?? '');
    const after = await openTo(instancePort);
    if (before.length > 0 && before.join() === after.join()) shared += 1;
  }
  refused.close();
  other.close();
  tally.check(`${route}, ${surface}: clients share connections to the instance`, shared > all.length / 2, `${shared} of ${all.length}`);
}

/** Callers that go away in the middle of a body: what the next one asks is answered all the same. */
export async function checkBrokenOff(tally, { surface, route, port }) {
  for (const refusal of refusals(surface)) {
    for (const framing of FRAMINGS.filter(({ expects }) => !expects)) {
      const { head, body } = written(refusal, refusal.body(100_000), framing);
      const leaving = await Connection.open(port);
      await leaving.sent(Buffer.concat([head, body.subarray(0, body.length / 2)]));
      leaving.close();
      const problem = await onANewOne(surface, port).catch((err) => err.message);
      tally.check(`${route}, ${surface}: ${refusal.name}, half a body ${framing.name}, the next from another client`, problem === null, problem ?? '');
    }
  }
}

/** The far ports of the connections that are open to a port of ours. */
async function openTo(port) {
  const ESTABLISHED = '01';
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8')));
  const rows = tables.flatMap((table) => table.trim().split('\n').slice(1)).map((line) => line.trim().split(/\s+/));
  const portIn = (address) => Number.parseInt(address.split(':').at(-1), 16);
  return rows.filter(([, local, , state]) => portIn(local) === port && state === ESTABLISHED).map(([, , remote]) => portIn(remote)).sort();
}

async function onANewOne(surface, port) {
  const connection = await Connection.open(port);
  try {
    return await asks(connection, surface, 'ann');
  } finally {
    connection.close();
  }
}

function question(surface, user) {
  const token = TOKENS[surface === 'proxy' ? 'proxy' : 'edge'];
  return Buffer.from(`GET ${SURFACES[surface].path}?userId=${user} HTTP/1.1\r\nHost: proxy.test\r\nAuthorization: ${token}\r\n\r\n`);
}

/** Asks for a user's flags. Returns what is wrong with the answer, or null. */
export async function asks(connection, surface, user) {
  connection.send(question(surface, user));
  return answers(connection, user);
}

/** Whether the next answer is the one for `user`. */
async function answers(connection, user) {
  const { status, body } = await connection.answer();
  if (status !== 200) return `the next request was answered with ${status}: ${body.slice(0, 100)}`;
  const names = JSON.parse(body).toggles.map(({ name }) => name).filter((name) => name.startsWith('for-')).sort();
  const expected = [...USERS[user]].sort();
  if (body.includes(SMUGGLED) || names.join() !== expected.join()) return `the next request was answered with another's flags: ${names}`;
  return null;
}
