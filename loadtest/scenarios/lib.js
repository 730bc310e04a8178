// What the scenarios share: where to, how fast, what has to hold, and a page as Offleash sees it.
//
// Every scenario is an open model: requests arrive on time whether or not the last ones were
// answered, as they do from many callers who know nothing of each other.

import { check } from 'k6';
import http from 'k6/http';
import { Counter, Rate } from 'k6/metrics';

const number = (name, standard) => Number(__ENV[name] || standard);

const BASE_URL = __ENV.BASE_URL || 'http://127.0.0.1:3063';
/** A frontend token, and a backend token for definitions. */
const TOKEN = __ENV.TOKEN || 'demo-key';
const BACKEND_TOKEN = __ENV.BACKEND_TOKEN || '';

/** The 99th percentile of answers' times that has to be kept, in milliseconds. */
export const P99_MS = number('P99_MS', 250);

/** What arrives: `rate` a second for `duration`, by default of the scenario, else `RATE` and `DURATION`. */
export const asked = (rate, duration) => ({ rate: number('RATE', rate), duration: __ENV.DURATION || duration });

/** Virtual users for a rate: enough when every answer takes a second. k6 drops arrivals while it makes more. */
export const users = (rate) => ({ preAllocatedVUs: Math.max(20, rate), maxVUs: Math.max(40, rate * 2) });

/** Arrivals at a constant rate. */
export const constant = ({ rate, duration }, exec) => ({
  executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration, exec, gracefulStop: '10s', ...users(rate),
});

/** Arrivals whose rate changes: `stages` is a list of `[seconds, rate]`, at the most `highest`. */
export const ramping = (stages, highest, exec) => ({
  executor: 'ramping-arrival-rate', startRate: 0, timeUnit: '1s', exec, gracefulStop: '10s', ...users(highest),
  stages: stages.map(([seconds, target]) => ({ duration: `${seconds}s`, target })),
});

/** Seconds of a duration such as `90s`, `5m` or `1h`. */
export function seconds(duration) {
  const [, count, unit] = /^([\d.]+)(s|m|h)$/.exec(duration) || [];
  if (!unit) throw new Error(`\`${duration}\` is no duration: seconds, minutes or hours, such as \`90s\``);
  return Number(count) * { s: 1, m: 60, h: 3600 }[unit];
}

/** The options of a run: nothing fails, everything is as it should be, nearly nothing is late. */
export const options = (scenarios, more = {}) => ({
  scenarios,
  thresholds: {
    http_req_failed: ['rate==0'],
    checks: ['rate==1'],
    http_req_duration: [`p(99)<${P99_MS}`],
    // What k6 itself could not send in time shows nothing about the server: a busy machine may cause
    // a little of it, and a server that answers slowly a lot.
    dropped_iterations: [`count<=${number('DROPPED', 20)}`],
    ...more,
  },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
});

/** The share of polls that found nothing new. */
export const notModified = new Rate('not_modified');
/** Sum of the counts in reports that were taken in. */
const usageAccepted = new Counter('usage_accepted');

/** The surfaces: where lists are, and how a report is accepted. */
export const SURFACES = {
  frontend: { name: 'frontend', path: '/api/frontend', accepted: 202 },
  proxy: { name: 'proxy', path: '/proxy', accepted: 200 },
};

const COUNTRIES = ['NO', 'SE', 'DK', 'DE', 'FR', 'US'];
const PLANS = ['free', 'basic', 'pro', 'enterprise'];
const of = (list, at) => list[at % list.length];

/** A page that somebody has open: a context, and the ETag of the flags it shows. */
export class Page {
  constructor(surface = SURFACES.frontend) {
    const user = Math.floor(Math.random() * 3000);
    this.surface = surface;
    this.etag = null;
    this.context = {
      appName: 'k6', environment: 'default', userId: `user-${user}`, sessionId: String(Math.floor(Math.random() * 1e9)),
      properties: {
        country: of(COUNTRIES, user), plan: of(PLANS, user), email: `user-${user}@example.com`, age: String(13 + (user % 70)),
        companyId: `company-${user % 1200}`,
      },
    };
  }

  /** Asks by GET, with the ETag it has. */
  poll() {
    const headers = { Authorization: TOKEN, Accept: 'application/json' };
    if (this.etag) headers['If-None-Match'] = this.etag;
    const again = this.etag !== null;
    const name = `poll ${this.surface.name}`;
    const answer = http.get(`${BASE_URL}${this.surface.path}?${query(this.context)}`, { headers, tags: { name } });
    if (again) notModified.add(answer.status === 304);
    check(answer, {
      [`${name}: 200 with flags and an ETag, or 304`]: ({ status, body, headers: got }) =>
        (status === 304 && again) || (status === 200 && Boolean(got.Etag) && hasFlags(body)),
    });
    if (answer.status === 200) this.etag = answer.headers.Etag || null;
  }

  /** Asks by POST. */
  ask() {
    const name = `ask ${this.surface.name}`;
    const answer = http.post(`${BASE_URL}${this.surface.path}`, JSON.stringify({ context: this.context }), {
      headers: { Authorization: TOKEN, 'Content-Type': 'application/json' }, tags: { name },
    });
    check(answer, { [`${name}: 200 with flags`]: ({ status, body }) => status === 200 && hasFlags(body) });
  }

  /** Asks whether it may ask, as a browser does for a page of another origin. */
  preflight() {
    const answer = http.options(`${BASE_URL}${this.surface.path}`, null, {
      headers: {
        Origin: 'https://shop.example', 'Access-Control-Request-Method': 'GET',
        'Access-Control-Request-Headers': 'authorization,if-none-match',
      },
      tags: { name: 'preflight' },
    });
    check(answer, {
      'preflight: allowed, to any origin': ({ status, headers }) => (status === 200 || status === 204) && headers['Access-Control-Allow-Origin'] === '*',
    });
  }

  /** Reports how often it asked for a flag. */
  report() {
    const yes = 1 + Math.floor(Math.random() * 9);
    const now = new Date().toISOString();
    const body = { appName: 'k6', instanceId: 'k6', bucket: { start: now, stop: now, toggles: { 'k6-counted': { yes, no: 0, variants: {} } } } };
    const name = `report ${this.surface.name}`;
    const answer = http.post(`${BASE_URL}${this.surface.path}/client/metrics`, JSON.stringify(body), {
      headers: { Authorization: TOKEN, 'Content-Type': 'application/json' }, tags: { name },
    });
    if (check(answer, { [`${name}: accepted`]: ({ status }) => status === this.surface.accepted })) usageAccepted.add(yes);
  }
}

/** A server's SDK that keeps the definitions, with their ETag. */
export class Server {
  etag = null;

  poll() {
    const headers = { Authorization: BACKEND_TOKEN };
    if (this.etag) headers['If-None-Match'] = this.etag;
    const again = this.etag !== null;
    const answer = http.get(`${BASE_URL}/proxy/client/features`, { headers, tags: { name: 'definitions' } });
    check(answer, {
      'definitions: 200 with features, or 304': ({ status, body }) => (status === 304 && again) || (status === 200 && JSON.parse(body).features.length > 0),
    });
    if (answer.status === 200) this.etag = answer.headers.Etag || null;
  }
}

const hasFlags = (body) => JSON.parse(body).toggles.length > 0;

function query({ properties, ...roots }) {
  const pairs = [...Object.entries(roots), ...Object.entries(properties).map(([name, value]) => [`properties[${name}]`, value])];
  return pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&');
}
