// Polling frontends, as k6 sees them: each virtual user is a page that keeps its ETag and asks
// again; now and then it becomes another user. An open model: requests arrive at a fixed rate,
// whether the server keeps up or not.
//
//   k6 run -e URL=http://127.0.0.1:3063/api/frontend -e KEY=demo-key loadtest/polling.js

import { check } from 'k6';
import http from 'k6/http';
import { Rate } from 'k6/metrics';

const URL = __ENV.URL || 'http://127.0.0.1:3063/api/frontend';
const KEY = __ENV.KEY || 'demo-key';
const RATE = Number(__ENV.RATE || 1000);
const DURATION = __ENV.DURATION || '60s';
const P95_MS = Number(__ENV.P95_MS || 5);

/** The share of polls that come from another origin and are preceded by a preflight. */
const CROSS_ORIGIN = 0.2;
/** The share of polls in which the page has a new user, and so no ETag. */
const NEW_USER = 0.1;

const notModified = new Rate('not_modified');

export const options = {
  scenarios: {
    polling: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: DURATION,
      preAllocatedVUs: Math.max(10, Math.ceil(RATE / 20)),
      maxVUs: Math.max(50, RATE),
    },
  },
  thresholds: {
    http_req_failed: [{ threshold: 'rate<0.001', abortOnFail: true, delayAbortEval: '2s' }],
    http_req_duration: [`p(95)<${P95_MS}`],
    checks: ['rate>0.999'],
    // Most polls change nothing: a server that forgets its ETags fails here.
    not_modified: ['rate>0.5'],
    dropped_iterations: ['count<10'],
  },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
};

/** This virtual user's page: its user and the ETag of what it holds. */
let page = null;

function newPage() {
  const user = Math.floor(Math.random() * 1e6);
  const pairs = [
    ['appName', 'k6'], ['environment', 'default'], ['userId', String(user)], ['sessionId', `session-${user}`],
    ['properties[plan]', user % 2 ? 'free' : 'pro'], ['properties[region]', user % 3 ? 'NO' : 'DE'],
    ['properties[email]', `${user}@example.com`], ['properties[tenantId]', `tenant-${user % 100}`],
  ];
  return { query: pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&'), etag: null };
}

function preflight(url) {
  const headers = {
    Origin: 'https://shop.example',
    'Access-Control-Request-Method': 'GET',
    'Access-Control-Request-Headers': 'authorization,if-none-match,unleash-appname,unleash-sdk',
  };
  const response = http.options(url, null, { headers, tags: { name: 'preflight' } });
  check(response, {
    'preflight: allowed': ({ status }) => status === 200 || status === 204,
    'preflight: to any origin': (answer) => answer.headers['Access-Control-Allow-Origin'] === '*',
  });
}

export default function poll() {
  if (page === null || Math.random() < NEW_USER) page = newPage();
  const url = `${URL}?${page.query}`;
  if (Math.random() < CROSS_ORIGIN) preflight(url);
  const headers = { Authorization: KEY, Accept: 'application/json' };
  if (page.etag) headers['If-None-Match'] = page.etag;
  const response = http.get(url, { headers, tags: { name: 'poll' } });
  const again = page.etag !== null;
  notModified.add(response.status === 304);
  check(response, {
    'poll: 200 with flags, 304 where nothing changed': ({ status, body }) =>
      (status === 304 && again) || (status === 200 && JSON.parse(body).toggles.length > 0),
    'poll: has an ETag': (answer) => answer.status === 304 || Boolean(answer.headers.Etag),
  });
  if (response.status === 200) page.etag = response.headers.Etag || null;
}
