// Random requests by seed: everything section 1 of the contract speaks of, sound and unsound.

import { gzipSync, deflateSync } from 'node:zlib';

const NAMES = ['userId', 'sessionId', 'appName', 'environment', 'remoteAddress', 'currentTime', 'tenantId', 'region', 'odd key', 'ключ', 'a.b'];
const VALUES = ['7', 'user-1', 'user 2', 'NO', 'SE', 'Åsa', 'ålesund', '', '0', 'true', 'null', '10.0.0.7', '192.168.1.9', '::1', 'shop', 'prod', 'dev', '2030-01-01T00:00:00Z', '2001-01-01', 'not a date', "a'b\"c"];
const USERS = ['7', 'user-1', 'user-2', 'Åsa', 'ålesund', '你好'];
const TIMES = ['2030-01-01T00:00:00Z', '2030-01-01T00:00:00+02:00', '2030-01-01', '2001-01-01T00:00:00.5Z', '2098-01-01T00:00', 'Wed, 01 Jan 2098 00:00:00 GMT', 'Wed Jan 01 2098 01:00:00 GMT+0100 (CET)', '2098', '2098-01', '2098/01/01', 'soon'];
const FLAGS = ['always', 'never', 'by-user', 'by-tenant', 'variants', 'rolled-out', 'unheard-of', '', 'Always'];
const METHODS = ['GET', 'GET', 'GET', 'GET', 'POST', 'POST', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH'];
const PATHS = ['/proxy', '/proxy', '/proxy', '/proxy', '/proxy/all', '/proxy/all', '/proxy/', '/PROXY', '/Proxy/All/', '/proxy/health',
  '/proxy/client/metrics', '/proxy/all/client/metrics', '/proxy/client/register', '/proxy/client/features', '/proxy/client/features', '/proxy/nothing', '//proxy',
  '/proxy//all', '/proxyfoo', '/proxy.json', '/proxy/all/client/register', '/nothing', '/proxy/client', '/proxy/internal-backstage/prometheus'];

/** One request of the run: `{ method, path, target, headers, body, tag, isBelow }`; `isBelow`: whether its path is one below `/proxy`. */
export function request(dice, settings) {
  const method = dice.of(METHODS);
  const path = dice.chance(0.06) ? dice.of(PATHS) : `${settings.base}${dice.of(PATHS)}`;
  const target = dice.chance(0.75) ? `${path}?${query(dice)}` : path;
  const headers = [...keys(dice, settings, path), ...conditions(dice), ...forwarding(dice)];
  let body;
  if (method === 'POST' || dice.chance(0.03)) {
    const content = payload(dice, path.toLowerCase());
    body = content.body;
    headers.push(...content.headers);
  }
  const tag = method === 'OPTIONS' || dice.chance(0.85) ? null : dice.of(['own', 'own, listed', 'own, strong', 'other', '*']);
  const isBelow = new RegExp(`^${settings.base}/proxy(/|$)`, 'i').test(path);
  return { method, path, target, headers, body, tag, isBelow };
}

function keys(dice, { header, key, serverToken }, path) {
  if (path.endsWith('/features') && dice.chance(0.5)) return [[header, serverToken]];
  const roll = dice.next();
  if (roll < 0.8) return [[header, key]];
  if (roll < 0.86) return [[header.toUpperCase(), serverToken]];
  if (roll < 0.9) return [[header, `Bearer ${key}`]];
  if (roll < 0.93) return [[header, 'wrong']];
  if (roll < 0.95) return [['X-Other', key]];
  return [];
}

function conditions(dice) {
  const headers = [];
  if (dice.chance(0.3)) headers.push(['Origin', dice.of(['https://app.example', 'https://other.example', 'null'])]);
  if (dice.chance(0.2)) headers.push(['Accept-Encoding', dice.of(['gzip', 'gzip, deflate, br', 'br', 'deflate', 'identity', 'gzip;q=0', 'gzip;q=0.5, br;q=0.9'])]);
  if (dice.chance(0.1)) headers.push(['Cache-Control', dice.of(['no-cache', 'max-age=0', 'no-store', 'max-age=0, no-cache'])]);
  if (dice.chance(0.2)) headers.push(['Access-Control-Request-Headers', dice.of(['authorization,unleash-sdk', 'x-own', ''])]);
  if (dice.chance(0.2)) headers.push(['Access-Control-Request-Method', dice.of(['GET', 'POST', 'PUT'])]);
  if (dice.chance(0.1)) headers.push(['Accept', dice.of(['application/json', 'text/html', '*/*'])]);
  return headers;
}

function forwarding(dice) {
  if (!dice.chance(0.2)) return [];
  return [['X-Forwarded-For', dice.of(['10.0.0.7', '10.0.0.7, 192.168.1.9', '192.168.1.9, 10.0.0.7, 127.0.0.1', 'unknown', '8.8.8.8,10.0.0.7', '10.0.0.7:4711', '192.168.1.9:4711'])]];
}

function query(dice) {
  const encode = dice.chance(0.5) ? encodeURIComponent : (text) => encodeURIComponent(text).replaceAll('%20', '+').replaceAll('%5B', '[').replaceAll('%5D', ']');
  const pairs = [];
  // What decides most gets a share of its own.
  if (dice.chance(0.25)) pairs.push(`userId=${encode(dice.of(USERS))}`);
  if (dice.chance(0.1)) pairs.push(`currentTime=${encode(dice.of(TIMES))}`);
  for (let count = dice.below(5); count >= 0; count -= 1) {
    const name = dice.of(NAMES);
    const shape = dice.next();
    const key = shape < 0.45 ? name
      : shape < 0.85 ? `properties[${name}]`
        : dice.of(['properties', 'properties[]', 'properties[0]', 'properties[a][b]', 'properties[a][b][c][d][e][f][g]', `${name}[]`, `${name}[0]`, `${name}[x]`, 'a[b]c', '[x]', 'x]', '']);
    pairs.push(dice.chance(0.05) ? encode(key) : `${encode(key)}=${encode(dice.of(VALUES))}`);
    if (dice.chance(0.06)) pairs.push(pairs.at(-1));
  }
  if (dice.chance(0.05)) pairs.push(dice.of(['', '%', '%zz=1', 'userId=%E0%A4%A', 'userId=%ff', '=', '&', 'a=b=c']));
  return pairs.join('&');
}

function payload(dice, path) {
  const json = path.includes('metrics') ? metrics(dice) : path.includes('register') ? registration(dice) : lookup(dice);
  const roll = dice.next();
  const text = roll < 0.84 ? JSON.stringify(json)
    : dice.of(['', '{', '[]', '[1]', 'null', '"text"', '{ toggles": [] }', ' {} ', '\ufeff{}', '{"context":{"userId":"7"}}x', `{"pad":"${'x'.repeat(103_000)}"}`, '{"__proto__":{"x":1}}']);
  let body = Buffer.from(text);
  const headers = [];
  const type = dice.next();
  if (type < 0.8) headers.push(['Content-Type', dice.of(['application/json', 'application/json; charset=utf-8', 'Application/JSON'])]);
  else if (type < 0.9) headers.push(['Content-Type', dice.of(['text/plain', 'application/html', 'application/vnd.api+json', 'application/x-www-form-urlencoded', 'nonsense', 'application/json; charset=latin1', ''])]);
  if (dice.chance(0.08)) {
    const coding = dice.of(['gzip', 'deflate', 'br', 'identity', 'x-unknown', 'GZIP']);
    headers.push(['Content-Encoding', coding]);
    if (coding.toLowerCase() === 'gzip' && dice.chance(0.8)) body = gzipSync(body);
    if (coding === 'deflate') body = deflateSync(body);
  }
  return { body, headers };
}

const anything = (dice) => dice.of(['text', '', 7, -1, 1.5, true, false, null, [], ['a'], {}, { a: 'b' }]);

function lookup(dice) {
  const body = {};
  if (dice.chance(0.5)) body.toggles = dice.chance(0.85) ? Array.from({ length: dice.below(4) }, () => (dice.chance(0.9) ? dice.of(FLAGS) : anything(dice))) : anything(dice);
  if (dice.chance(0.85)) body.context = dice.chance(0.93) ? context(dice) : anything(dice);
  if (dice.chance(0.1)) body[dice.of(['blah', 'userId', 'properties'])] = anything(dice);
  return body;
}

function context(dice) {
  const context = {};
  for (let count = dice.below(4); count > 0; count -= 1) context[dice.of(NAMES)] = dice.chance(0.85) ? dice.of(VALUES) : anything(dice);
  if (dice.chance(0.5)) {
    context.properties = dice.chance(0.92)
      ? Object.fromEntries(Array.from({ length: dice.below(4) }, () => [dice.of(NAMES), dice.chance(0.85) ? dice.of(VALUES) : anything(dice)]))
      : anything(dice);
  }
  return context;
}

function metrics(dice) {
  const time = () => dice.of(['2026-11-23T00:00:00.000Z', '2026-11-23T00:00:00.000Z', '2026-11-23 00:00:00z', '2026-11-23T00:00:00', '2026-11-23', '2026-13-01T00:00:00Z', 7, null]);
  const count = () => (dice.chance(0.8) ? dice.below(9) : dice.of(['5', '', true, null, -1, 1.5, [], 'x']));
  const toggles = Object.fromEntries(Array.from({ length: dice.below(3) }, () => [dice.of(FLAGS),
    dice.chance(0.9) ? { yes: count(), no: count(), ...(dice.chance(0.5) ? { variants: { blue: count() } } : {}) } : anything(dice)]));
  const body = { appName: 'app', instanceId: 'one', bucket: { start: time(), stop: time(), toggles } };
  return without(dice, body);
}

function registration(dice) {
  const body = {
    appName: 'app', instanceId: 'one', interval: dice.chance(0.8) ? 1000 : anything(dice), started: dice.chance(0.8) ? '2026-11-23T00:00:00.000Z' : anything(dice),
    strategies: dice.chance(0.8) ? ['default'] : anything(dice), sdkVersion: 'x:1',
  };
  return without(dice, body);
}

/** The same, with a field missing or of another type now and then. */
function without(dice, body) {
  if (dice.chance(0.15)) delete body[dice.of(Object.keys(body))];
  if (dice.chance(0.15)) body[dice.of(Object.keys(body))] = anything(dice);
  if (dice.chance(0.1)) body[dice.of(['impactMetrics', 'environment', 'connectionId'])] = dice.of([[], 'dev', 7]);
  return body;
}
