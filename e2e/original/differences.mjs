// What we answer otherwise than the Unleash Proxy, on purpose. MIGRATING.md has the same list.
//
// `covers({ part, asked, ours, theirs })`: whether a part of an answer (`status`, `body` or a
// header's name) differs for this reason. `ours` and `theirs` hold every part as a text. What is not
// `rare` has to occur in every run.

const isOne = (part, parts) => parts.includes(part);
const isElsewhere = ({ ours, theirs }) => ours.status === '404' && theirs.status === '404';

/** The same answer with its toggles in the order of their names; `null` for no list. */
function sorted(body) {
  try {
    const { toggles } = JSON.parse(body);
    return JSON.stringify([...toggles].sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name))));
  } catch {
    return null;
  }
}

/** Whether a root field's name stands inside the properties that were sent. */
function hasRootInProperties({ method, target, body }) {
  const roots = ['userId', 'sessionId', 'appName', 'environment', 'remoteAddress', 'currentTime'];
  if (method !== 'POST') return roots.some((name) => new RegExp(`properties(\\[|%5B)${name}(\\]|%5D)`).test(target));
  return body !== undefined && roots.some((name) => body.includes(`"${name}"`));
}

/** Whether a name comes twice, or in other brackets than one pair that names a property. */
function hasLists({ target }) {
  const pairs = target.replace(/^[^?]*\??/, '').split('&').filter(Boolean);
  const names = pairs.map((pair) => pair.replace(/=.*$/, '').replaceAll('%5B', '[').replaceAll('%5D', ']').replaceAll('%20', '+'));
  return new Set(names).size < names.length || names.some((name) => name.includes('[') && !/^properties\[[^\][]+\]$/.test(name));
}

/** The text of an error of parsing, without what each engine says of it. */
const withoutReason = (body) => body.replace(/The message we got was: .*$/s, '');

export const DIFFERENCES = [
  {
    id: 'order',
    text: 'toggles of a list stand in the order of their names, not of upstream\'s; a list of `toggles` that were asked for keeps its order',
    covers: ({ part, ours, theirs }) => part === 'body' && ours.status === '200' && sorted(ours.body) !== null && sorted(ours.body) === sorted(theirs.body),
  },
  {
    id: 'size',
    text: 'a body over the limit is answered with 413, where the original says 500',
    covers: ({ ours, theirs }) => ours.status === '413' && theirs.status === '500',
  },
  {
    id: 'encoding',
    text: 'a body in an encoding or a character set that is not read is answered with 415, one that is not what its `Content-Encoding` says with 400, where the original says 500',
    covers: ({ ours, theirs }) => isOne(ours.status, ['415', '400']) && theirs.status === '500' ,
  },
  {
    id: 'tags',
    text: 'only lists and definitions carry an `ETag`; the original tags its texts and errors too, and answers 304 for them',
    covers: ({ part, asked, ours, theirs }) => (part === 'etag' && theirs.etag === 'weak' && ours.etag === null)
      || (/\/(health|prometheus)\/?$/i.test(asked.path) && theirs.status === '304' && ours.status === '200'),
  },
  {
    id: 'vary',
    text: 'every answer names `Accept-Encoding` in `Vary`, 304 and 415 without a body included',
    covers: ({ part, ours, theirs }) => part === 'vary' && isOne(theirs.status, ['304', '415', '404']) && ours.vary.includes('accept-encoding'),
  },
  {
    id: 'coding',
    text: 'of the encodings that a caller accepts, the cheapest to make is taken: `zstd`, `gzip`, `br`, `deflate`; the original prefers `br`',
    covers: ({ part, ours, theirs }) => part === 'content-encoding'
      // A body that differs for a reason of its own may be on the other side of the shortest that is compressed.
      && ((ours['content-encoding'] !== null && theirs['content-encoding'] !== null) || ours.body !== theirs.body),
  },
  {
    id: 'elsewhere',
    text: 'paths that are not below `/proxy` belong to Unleash Edge\'s routes: their 404 has no page, and names a path that is nearly right',
    covers: ({ part, asked, ...both }) => isElsewhere(both) && isOne(part, ['body', 'content-type', 'content-security-policy', 'x-content-type-options']),
  },
  {
    id: 'slots',
    text: 'a root field such as `userId` that stands in `properties` fills the root field where that is absent; to the original they are two',
    covers: ({ part, asked, ours, theirs }) => isOne(part, ['body', 'status']) && ours.status === '200' && theirs.status === '200' && hasRootInProperties(asked),
  },
  {
    id: 'lists',
    rare: true,
    text: 'of a name that comes twice in a query the last value counts, and a list or an object in brackets is no value; the original joins them with commas, or reads `[object Object]`',
    covers: ({ part, asked, ours, theirs }) => isOne(part, ['body', 'status']) && isOne(ours.status, ['200', '304']) && isOne(theirs.status, ['200', '304']) && hasLists(asked),
  },
  {
    id: 'mixed',
    rare: true,
    text: '`properties` as a text and by brackets in one query is answered with 400; the original takes it for an object from the second bracket on',
    covers: ({ asked, ours, theirs }) => ours.status === '400' && isOne(theirs.status, ['200', '401', '304', '501']) && /[?&]properties(=|&)/.test(asked.target) && /properties(\[|%5B)/i.test(asked.target),
  },
  {
    id: 'hash',
    text: 'identifiers beyond ASCII are hashed as UTF-8, like by Unleash and its other SDKs; the original hashes a byte of each UTF-16 unit, so that such callers may be in another bucket',
    covers: ({ part, asked, ours, theirs }) => isOne(part, ['body', 'content-encoding']) && ours.status === '200' && theirs.status === '200' && /userId(=|%5B)|"userId"/.test(asked.target + (asked.body ?? '')) && /userId(=|%5B|":)\W*(%C3|%E4|Å|å|你)/.test(asked.target + (asked.body ?? '')),
  },
  {
    id: 'dates',
    rare: true,
    text: '`currentTime` is read in the forms that RFC 3339, e-mail and JavaScript\'s own dates are printed in, whole or without seconds, day or month; other texts that JavaScript reads, such as `2098/01/01`, are dropped',
    covers: ({ part, asked, ours, theirs }) => isOne(part, ['body', 'content-encoding']) && ours.status === '200' && theirs.status === '200' && /2098(%2F|\/)01/.test(asked.target),
  },
  {
    id: 'ports',
    rare: true,
    text: 'the port of an entry of `X-Forwarded-For` is dropped, so that rules of addresses match; the original keeps it',
    covers: ({ part, asked, ours, theirs }) => part === 'body' && ours.status === '200' && theirs.status === '200' && asked.headers.some(([name, value]) => name === 'X-Forwarded-For' && value.includes(':4711')),
  },
  {
    id: 'prometheus',
    text: 'the three metrics of the original come first; ours follow, and the page is compressed for who accepts that',
    covers: ({ part, asked, theirs }) => /prometheus/i.test(asked.path) && theirs.status === '200' && isOne(part, ['body', 'content-encoding']),
  },
  {
    id: 'segments',
    text: '`/proxy/client/features` brings the segments that its features name, and features in the order of their names',
    covers: ({ part, asked, ours, theirs }) => /client\/features/i.test(asked.path) && part === 'body' && theirs.status === '200' && JSON.parse(ours.body).segments !== undefined,
  },
  {
    id: 'arrays',
    rare: true,
    text: 'the body of a GET has to be JSON and is not looked at otherwise; the original refuses one that is no object with 400',
    covers: ({ asked, ours, theirs }) => isOne(asked.method, ['GET', 'HEAD']) && asked.body !== undefined && theirs.status === '400' && ours.status !== '400',
  },
  {
    id: 'reason',
    text: 'the words of a JSON parser that follow `The message we got was` are our parser\'s',
    covers: ({ part, ours, theirs }) => part === 'body' && ours.status === '400' && theirs.status === '400' && withoutReason(ours.body) === withoutReason(theirs.body),
  },
];
