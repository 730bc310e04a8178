// An upstream in a process of its own, which replaces its flags when it is told to.
//
// Who measures holds a hundred thousand requests. Were the upstream in there, collecting that
// process's garbage would take the server's core for half a second in the middle of a measurement.

import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { eventually, freePort, launch, scratchFolder } from '../../e2e/lib/processes.mjs';
import { Stub } from '../../e2e/lib/stub.mjs';
import { makePayload } from '../fixtures.mjs';
import { introduce } from './programs.mjs';

const FEATURES = '/api/client/features';
/** So many different payloads in turn: whoever polls never sees the one it has. */
const EDITIONS = 8;

/** The upstream, as the process that started it sees it. */
export class Upstream {
  #control;
  url;

  constructor(port, control) {
    this.url = `http://127.0.0.1:${port}`;
    this.#control = `http://127.0.0.1:${control}`;
  }

  /** Starts one that serves a payload of so many flags. */
  static async start(flags) {
    const [port, control] = [await freePort(), await freePort()];
    const args = ['--flags', flags, '--port', port, '--control', control].map(String);
    const child = launch('upstream', process.execPath, [fileURLToPath(import.meta.url), ...args], { folder: scratchFolder('upstream') });
    const upstream = new Upstream(port, control);
    await eventually('the upstream serves', () => upstream.#state(), { child });
    return Object.assign(upstream, { child });
  }

  /** Serves other flags every so often from now on. */
  async replaceEvery(ms) {
    await this.#ask(`/replace?every=${ms}`);
  }

  /** Serves what it serves now until it is told otherwise. */
  async hold() {
    await this.#ask('/hold');
  }

  /** How often whoever polls came to hold other flags, so far. */
  async updatesTaken() {
    return (await this.#state()).updates;
  }

  /** Whether who polls last was told that nothing is newer than these flags. */
  async isTaken() {
    return (await this.#state()).isTaken;
  }

  stop() {
    return this.child.stop();
  }

  #state() {
    return this.#ask('/state');
  }

  async #ask(path) {
    const answer = await fetch(this.#control + path);
    if (!answer.ok) throw new Error(`the upstream answers ${answer.status} to ${path}`);
    return answer.json();
  }
}

/** Payloads that differ in which flags are on. */
function editions({ features, segments }) {
  return Array.from({ length: EDITIONS }, (_, edition) => Stub.prepare(
    features.map((feature, n) => (n % EDITIONS === edition ? { ...feature, enabled: !feature.enabled } : feature)), segments,
  ));
}

function updatesTaken(stub) {
  const held = stub.requests.filter(({ path }) => path === FEATURES).map(({ headers }) => headers['if-none-match']);
  return held.filter((tag, n) => n > 0 && tag !== held[n - 1]).length;
}

async function serve({ flags, port, control }) {
  const payload = makePayload(flags);
  const payloads = editions(payload);
  const stub = await Stub.start({ port });
  introduce(stub);
  stub.serve(payload.features, payload.segments);
  let replaced = 0;
  let timer;
  const hold = () => clearInterval(timer);
  const replaceEvery = (ms) => {
    hold();
    timer = setInterval(() => stub.serveAgain(payloads[++replaced % payloads.length]), ms);
  };
  createServer(({ url }, response) => {
    const { pathname, searchParams } = new URL(url, 'http://127.0.0.1');
    if (pathname === '/replace') replaceEvery(Number(searchParams.get('every')));
    if (pathname === '/hold') hold();
    response.end(JSON.stringify({ updates: updatesTaken(stub), isTaken: stub.isTaken() }));
  }).listen(control, '127.0.0.1');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { flags: { type: 'string' }, port: { type: 'string' }, control: { type: 'string' } } });
  await serve({ flags: Number(values.flags), port: Number(values.port), control: Number(values.control) });
}
