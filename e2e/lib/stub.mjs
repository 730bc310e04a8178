// A scripted upstream: what an Unleash server answers, under the test's control and recorded.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

export class Stub {
  static #revision = 0;
  #features = [];
  #segments = [];
  #tokens = new Map();
  #etag = '';
  #body = '';

  /** What was asked, in order: `{ method, path, headers, body, status, at }`. */
  requests = [];
  /** Answer everything with this status instead, while set. */
  failWith = 0;

  static async start({ port = 0 } = {}) {
    const stub = new Stub();
    stub.serve([]);
    stub.server = createServer((request, response) => stub.#answer(request, response));
    await new Promise((resolve, reject) => {
      stub.server.once('error', reject);
      stub.server.listen(port, '127.0.0.1', resolve);
    });
    stub.url = `http://127.0.0.1:${stub.server.address().port}`;
    return stub;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  /** From now on these are the flags. */
  serve(features, segments = this.#segments) {
    this.#features = features;
    this.#segments = segments;
    this.serveAgain(Stub.prepare(features, segments));
  }

  /** The answer for these flags, to be served later: to write a large one takes milliseconds. */
  static prepare(features, segments) {
    const query = { environment: 'development', inlineSegmentConstraints: false };
    // Unleash counts its changes, and says how far it is.
    const meta = { revisionId: ++Stub.#revision };
    const body = Buffer.from(JSON.stringify({ version: 2, features, segments, query, meta }));
    return { body, etag: `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}:1:v1"` };
  }

  /** From now on this prepared answer, whatever `change` knows. */
  serveAgain({ body, etag }) {
    this.#body = body;
    this.#etag = etag;
  }

  /** Whether who polls last was told that nothing is newer than these flags. */
  isTaken() {
    const last = this.asked('GET', '/api/client/features').at(-1);
    return last?.status === 304 && last.headers['if-none-match'] === this.#etag;
  }

  /** Changes one flag. */
  change(name, edit) {
    this.serve(this.#features.map((feature) => (feature.name === name ? { ...feature, ...edit } : feature)));
  }

  /** Makes `/edge/validate` know a token. */
  know(token, type, { environment = 'development', projects = ['*'] } = {}) {
    this.#tokens.set(token, { token, type, environment, projects });
  }

  /** What was asked of one path, so far. */
  asked(method, path) {
    return this.requests.filter((request) => request.method === method && request.path === path);
  }

  /** How often a flag was counted `yes` in all reports so far, whole or in bulk. */
  counted(name) {
    const whole = this.asked('POST', '/api/client/metrics').map(({ body }) => body.bucket.toggles[name]?.yes ?? 0);
    const bulk = this.asked('POST', '/api/client/metrics/bulk')
      .flatMap(({ body }) => body.metrics.filter(({ featureName }) => featureName === name).map(({ yes }) => yes));
    return [...whole, ...bulk].reduce((total, yes) => total + yes, 0);
  }

  #answer(request, response) {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const path = new URL(request.url, this.url).pathname;
      const text = Buffer.concat(chunks).toString();
      const record = { method: request.method, path, headers: request.headers, body: text ? JSON.parse(text) : null, at: performance.now() };
      this.requests.push(record);
      const { status, headers = {}, body = '' } = this.#decide(record);
      record.status = status;
      response.writeHead(status, headers).end(body);
    });
  }

  #decide({ method, path, headers, body }) {
    const json = { 'content-type': 'application/json' };
    if (this.failWith) return { status: this.failWith };
    switch (`${method} ${path}`) {
      case 'GET /api/client/features':
        if (headers['if-none-match'] === this.#etag) return { status: 304, headers: { etag: this.#etag } };
        return { status: 200, headers: { ...json, etag: this.#etag }, body: this.#body };
      case 'POST /api/client/register':
      case 'POST /api/client/metrics':
      case 'POST /api/client/metrics/bulk':
      case 'POST /api/client/metrics/edge':
        return { status: 202 };
      case 'POST /edge/validate': {
        const known = body.tokens.filter((token) => this.#tokens.has(token)).map((token) => this.#tokens.get(token));
        return { status: 200, headers: json, body: JSON.stringify({ tokens: known }) };
      }
      default:
        return { status: 404 };
    }
  }
}
