// Requests that are refused whatever their body says, in every shape a body can be sent in.

import { TOKENS } from './fleet.mjs';

/** Largest bodies that each surface takes, in its own dialect. */
const LIMITS = { proxy: 100 * 1024, frontend: 2 << 20 };

/** Who must never be answered: only bodies ask for them. */
export const SMUGGLED = 'smuggled';

/** Requests, one after another: taken for one, a body of these would be answered. */
const asRequests = (token) => (size) => {
  const one = `GET /api/frontend?userId=${SMUGGLED} HTTP/1.1\r\nHost: inner\r\nAuthorization: ${token}\r\n\r\n`;
  return Buffer.from(one.repeat(Math.ceil(size / one.length)).slice(0, size));
};
const json = (size) => Buffer.from(`{"a":"${'b'.repeat(size - 8)}"}`);
const list = (size) => Buffer.from(`["${'b'.repeat(size - 4)}"]`);

const JSON_TYPE = ['Content-Type', 'application/json'];

/**
 * What is refused on a surface: `{ name, method, target, headers, body, status, over }`; `body` makes
 * one of a size, `over` is the status when it is larger than the surface takes.
 */
export function refusals(surface) {
  const token = TOKENS[surface === 'proxy' ? 'proxy' : 'edge'];
  const hidden = asRequests(token);
  const good = ['Authorization', token];
  const wrong = ['Authorization', surface === 'proxy' ? 'wrong' : '*:development.wrong'];
  const make = ([name, method, target, headers, body, status, over = status]) => ({ name, method, target, headers, body, status, over });
  const rows = surface === 'proxy' ? [
    ['a wrong key', 'POST', '/proxy', [wrong, JSON_TYPE], json, 401, 413],
    ['no key', 'POST', '/proxy', [JSON_TYPE], json, 401, 413],
    ['a wrong key, by GET', 'GET', '/proxy', [wrong, JSON_TYPE], json, 401, 413],
    ['a path that is not there', 'POST', '/proxy/nothing', [good, JSON_TYPE], json, 404, 413],
    ['a path that is nowhere', 'POST', '/nothing', [good, JSON_TYPE], hidden, 404],
    ['a method that is not there', 'PUT', '/proxy', [good, JSON_TYPE], json, 404, 413],
    ['usage by DELETE', 'DELETE', '/proxy/client/metrics', [good, JSON_TYPE], json, 404, 413],
    ['another content type', 'POST', '/proxy', [good, ['Content-Type', 'text/plain']], hidden, 415],
    ['an unknown encoding', 'POST', '/proxy', [good, JSON_TYPE, ['Content-Encoding', 'unheard-of']], hidden, 415],
    ['gzip that is none', 'POST', '/proxy', [good, JSON_TYPE, ['Content-Encoding', 'gzip']], hidden, 400, 413],
    ['JSON that is none', 'POST', '/proxy', [good, JSON_TYPE], hidden, 400, 413],
    ['usage that is none', 'POST', '/proxy/client/metrics', [good, JSON_TYPE], json, 400, 413],
    ['usage that is no JSON', 'POST', '/proxy/client/metrics', [good, JSON_TYPE], hidden, 400, 413],
    ['a list that is turned off', 'POST', '/proxy/all', [good, JSON_TYPE], json, 501, 413],
  ] : [
    ['a wrong token', 'POST', '/api/frontend', [wrong, JSON_TYPE], hidden, 403],
    ['no token', 'POST', '/api/frontend', [JSON_TYPE], hidden, 403],
    ['a wrong token, by GET', 'GET', '/api/frontend', [wrong, JSON_TYPE], hidden, 403],
    ['a path that is not there', 'POST', '/api/nothing', [good, JSON_TYPE], hidden, 404],
    ['a method that is not there', 'PUT', '/api/frontend', [good, JSON_TYPE], hidden, 405],
    ['readiness by POST', 'POST', '/internal-backstage/ready', [JSON_TYPE], hidden, 405],
    ['usage by PUT', 'PUT', '/api/frontend/client/metrics', [good, JSON_TYPE], hidden, 405],
    ['another content type', 'POST', '/api/frontend', [good, ['Content-Type', 'text/plain']], hidden, 415],
    ['no content type', 'POST', '/api/frontend', [good], hidden, 415],
    ['an encoding', 'POST', '/api/frontend', [good, JSON_TYPE, ['Content-Encoding', 'gzip']], hidden, 415],
    ['JSON that is none', 'POST', '/api/frontend', [good, JSON_TYPE], hidden, 400, 413],
    ['JSON of another shape', 'POST', '/api/frontend', [good, JSON_TYPE], list, 422, 413],
    ['usage with a wrong token', 'POST', '/api/frontend/client/metrics', [wrong, JSON_TYPE], hidden, 403],
    ['usage that is no JSON', 'POST', '/api/frontend/client/metrics', [good, JSON_TYPE], hidden, 400, 413],
    ['usage that is none', 'POST', '/api/frontend/client/metrics', [good, JSON_TYPE], json, 422, 413],
    ['a registration with a wrong token', 'POST', '/api/frontend/client/register', [wrong, JSON_TYPE], hidden, 403],
  ];
  return rows.map(make);
}

/** Sizes of bodies, and whether a surface takes them. */
export const sizes = (surface) => [
  { bytes: 10, over: false },
  { bytes: 100_000, over: false },
  { bytes: LIMITS[surface] + 200_000, over: true },
];

/** How a body is sent. */
export const FRAMINGS = [
  { name: 'with its length', chunked: false, expects: false },
  { name: 'in chunks', chunked: true, expects: false },
  { name: 'with its length, once it may', chunked: false, expects: true },
  { name: 'in chunks, once it may', chunked: true, expects: true },
];

/** The bytes of a refused request: its head, and its body as framed. */
export function written({ method, target, headers }, body, { chunked, expects }) {
  const lines = [`${method} ${target} HTTP/1.1`, 'Host: proxy.test', ...headers.map(([name, value]) => `${name}: ${value}`)];
  lines.push(chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`);
  if (expects) lines.push('Expect: 100-continue');
  return { head: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body: chunked ? inChunks(body) : body };
}

const CHUNK = 8000;

function inChunks(body) {
  const parts = [];
  for (let at = 0; at < body.length; at += CHUNK) {
    const chunk = body.subarray(at, at + CHUNK);
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}
