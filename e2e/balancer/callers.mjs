// Callers that keep their connection and never ask twice for one thing: what a balancer or an
// instance drops, they see.

import { Agent, request } from 'node:http';

import { Dice } from '../lib/random.mjs';
import { sleep } from '../lib/processes.mjs';

const WITHIN = 10_000;
const POLLER_HEADERS = { accept: 'application/json', 'user-agent': 'poller' };

/** One kept-alive connection to a balancer, and what went wrong on it. */
class Caller {
  #agent = new Agent({ keepAlive: true, maxSockets: 1, timeout: 60_000 });
  #url;
  #token;
  #rest;
  #running = null;
  #dice;
  /** `what came instead of an answer`, each with the time since the epoch. */
  failures = [];
  requests = 0;
  connections = new Set();

  /** @param {number} rest milliseconds between two requests, on average */
  constructor(url, token, rest, seed) {
    this.#url = url;
    this.#token = token;
    this.#rest = rest;
    this.#dice = new Dice(seed);
  }

  start() {
    this.isStopping = false;
    this.#running = (async () => {
      while (!this.isStopping) {
        await this.once();
        await sleep(this.#rest * (0.5 + this.#dice.next()));
      }
    })();
  }

  async stop() {
    this.isStopping = true;
    await this.#running;
    this.#agent.destroy();
  }

  number(below) {
    return this.#dice.below(below);
  }

  /** Sends one request. Returns its answer, or null after noting why there is none. */
  send(method, path, headers, body) {
    this.requests += 1;
    return new Promise((resolve) => {
      const fail = (why) => {
        this.failures.push({ why: `${method}: ${why}`, at: Date.now() });
        resolve(null);
      };
      const sent = request(`${this.#url}${path}`, { method, agent: this.#agent, headers: { authorization: this.#token, ...headers } }, (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('error', (err) => fail(`answer broke off: ${err.code ?? err.message}`));
        answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(chunks).toString() }));
      });
      sent.setTimeout(WITHIN, () => sent.destroy(new Error(`no answer within ${WITHIN} ms`)));
      sent.on('socket', (socket) => this.connections.add(socket));
      sent.on('error', (err) => fail(err.code ?? err.message));
      sent.end(body);
    });
  }

  refuse(method, { status, text }) {
    this.failures.push({ why: `${method}: ${status} ${text.slice(0, 80)}`, at: Date.now() });
  }
}

/** A page that asks for its flags again and again, with the ETag of those it has. */
export class Poller extends Caller {
  #path;
  #etag = null;
  /** The revision of the flags it has. */
  revision = 0;
  notModified = 0;
  stepsBack = 0;

  constructor(url, { path }, token, user, rest, seed) {
    super(url, token, rest, seed);
    this.#path = `${path}?userId=${user}&sessionId=session-${seed}`;
  }

  async once() {
    const condition = this.#etag ? { 'if-none-match': this.#etag } : {};
    const answer = await this.send('GET', this.#path, { ...POLLER_HEADERS, ...condition });
    if (answer === null) return;
    if (answer.status === 304 && this.#etag) {
      this.notModified += 1;
    } else if (answer.status === 200) {
      const { toggles } = JSON.parse(answer.text);
      const revision = Number(toggles.find(({ name }) => name === 'revision')?.variant.payload.value);
      if (revision < this.revision) this.stepsBack += 1;
      this.revision = revision;
      this.#etag = answer.headers.etag;
    } else {
      this.refuse('GET', answer);
    }
  }
}

/** An SDK that reports how often it asked for one flag. */
export class Sender extends Caller {
  #surface;
  /** The flag that it alone counts. */
  flag;
  /** The sum of what was taken in. */
  accepted = 0;

  constructor(url, surface, token, flag, rest, seed) {
    super(url, token, rest, seed);
    this.#surface = surface;
    this.flag = flag;
  }

  async once() {
    const yes = 1 + this.number(9);
    const now = new Date().toISOString();
    const report = { appName: 'balancer', instanceId: this.flag, bucket: { start: now, stop: now, toggles: { [this.flag]: { yes, no: 0, variants: {} } } } };
    const answer = await this.send('POST', `${this.#surface.path}/client/metrics`, { 'content-type': 'application/json' }, JSON.stringify(report));
    if (answer === null) return;
    if (answer.status === this.#surface.accepted) this.accepted += yes;
    else this.refuse('POST', answer);
  }
}
