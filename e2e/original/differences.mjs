// What we answer otherwise than the Unleash Proxy, on purpose. MIGRATING.md has the same list.
//
// `covers({ part, asked, ours, theirs })`: whether a part of an answer (`status`, `body` or a
// header's name) differs for this reason. `ours` and `theirs` hold every part as a text. A reason
// covers no more than its text says: what is wider hides faults. What is not `rare` has to occur in
// every run.
//
// `plainly(asked)`: the same request without what the two read in different ways, for a reason that
// changes what is decided. To this one the original has to answer what we answered to the other,
// but for another reason of the list.

import { hasLists, hasRootInProperties, withoutLists, withoutRootsInProperties } from './plain.mjs';

const LIMIT = 102_400;

const isOne = (part, parts) => parts.includes(part);
const isBoth = (status, { ours, theirs }) => ours.status === status && theirs.status === status;
const isDecided = ({ ours, theirs }) => isOne(ours.status, ['200', '304']) && isOne(theirs.status, ['200', '304']);
const isList = ({ isBelow, path }) => isBelow && /\/proxy(\/+all)?\/*$/i.test(path);
const isDefinitions = ({ isBelow, path }) => isBelow && /\/client\/features\/*$/i.test(path);
const isAbout = ({ isBelow, path }) => isBelow && /\/(health|prometheus)\/*$/i.test(path);
const isEncoded = ({ headers }) => headers.some(([name, value]) => name === 'Content-Encoding' || (name === 'Content-Type' && /charset/.test(value)));

/** Whether the caller asked for toggles by name. */
function hasNames({ method, body }) {
  if (method !== 'POST' || body === undefined) return false;
  try {
    return JSON.parse(body).toggles?.length > 0;
  } catch {
    return false;
  }
}

/** The same answer with its toggles in the order of their names; `null` for no list. */
export function sorted(body) {
  try {
    const { toggles } = JSON.parse(body);
    return JSON.stringify([...toggles].sort((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name))));
  } catch {
    return null;
  }
}

/** The toggles of a list in the order of their names, without those of such names. */
function without(names, body) {
  const list = sorted(body);
  return list === null ? null : JSON.stringify(JSON.parse(list).filter(({ name }) => !names.test(name)));
}

const isHashed = (asked) => /userId(=|%5B|\]|%5D|":)\W*(%C3|%E4|Å|å|你)/.test(asked.target + (asked.body ?? ''));
const isDated = (asked) => /2098(%2F|\/)01/.test(asked.target);
const isPorted = ({ headers }) => headers.some(([name, value]) => name === 'X-Forwarded-For' && value.includes(':4711'));

/** Whether two lists differ in nothing but toggles that this request may decide in two ways. */
function isAlikeElse(asked, { ours, theirs }) {
  const free = [[isHashed, 'rolled-out.*|variants'], [isDated, 'by-time'], [isPorted, 'by-address']];
  const names = new RegExp(`^(${free.filter(([applies]) => applies(asked)).map(([, which]) => which).join('|')})$`);
  return without(names, ours.body) !== null && without(names, ours.body) === without(names, theirs.body);
}

/** The features of definitions in the order of their names, without the segments. */
function definitions(body) {
  const { segments, features, ...rest } = JSON.parse(body);
  return JSON.stringify({ ...rest, features: [...features].sort((a, b) => (a.name < b.name ? -1 : 1)) });
}

/** The line of a page of Express, or of ours, that says what is missing. */
const said = (body) => /<pre>(.*)<\/pre>/s.exec(body)?.[1];

/** The words of a `Vary`, with one more. */
const withEncoding = (vary) => [...new Set([...(vary ?? '').split(', ').filter(Boolean), 'accept-encoding'])].sort().join(', ');

/** The text of an error of parsing, without what each engine says of it. */
const withoutReason = (body) => body.replace(/The message we got was: .*$/s, '');

export const DIFFERENCES = [
  {
    id: 'order',
    text: 'toggles of a list stand in the order of their names, not of upstream\'s; a list of `toggles` that were asked for keeps its order',
    covers: ({ part, asked, ours, theirs }) => part === 'body' && !hasNames(asked) && ours.status === '200' && sorted(ours.body) !== null && sorted(ours.body) === sorted(theirs.body),
  },
  {
    id: 'size',
    text: 'a body over the limit is answered with 413, where the original says 500',
    covers: ({ asked, ours, theirs }) => ours.status === '413' && theirs.status === '500' && (isEncoded(asked) || asked.body?.length > LIMIT),
  },
  {
    id: 'encoding',
    text: 'a body in an encoding or a character set that is not read is answered with 415, one that is not what its `Content-Encoding` says with 400, where the original says 500',
    covers: ({ asked, ours, theirs }) => isOne(ours.status, ['415', '400']) && theirs.status === '500' && isEncoded(asked),
  },
  {
    id: 'tags',
    text: 'only lists and definitions carry an `ETag`; the original tags its texts and errors too, and answers 304 for them',
    covers: ({ part, asked, ours, theirs }) => (part === 'etag' && theirs.etag === 'weak' && ours.etag === null
        && !(isOne(ours.status, ['200', '304']) && (isList(asked) || isDefinitions(asked))))
      || (isAbout(asked) && theirs.status === '304' && ours.status === '200'),
  },
  {
    id: 'vary',
    text: 'every answer names `Accept-Encoding` in `Vary`, 304 and 415 without a body included',
    covers: ({ part, ours, theirs }) => part === 'vary' && (isBoth('304', { ours, theirs }) || isBoth('415', { ours, theirs })) && ours.vary === withEncoding(theirs.vary),
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
    covers: ({ part, asked, ...both }) => isBoth('404', both) && !asked.isBelow && isOne(part, ['body', 'content-type', 'content-security-policy', 'x-content-type-options']),
  },
  {
    id: 'page',
    text: 'the page of a 404 below `/proxy` says the same words (`Cannot GET /proxy/nothing`) in fewer tags',
    covers: ({ part, asked, ours, theirs }) => part === 'body' && asked.isBelow && isBoth('404', { ours, theirs }) && said(ours.body) !== undefined && said(ours.body) === said(theirs.body),
  },
  {
    id: 'slots',
    text: 'a root field such as `userId` that stands in `properties` fills the root field where that is absent; to the original they are two',
    covers: ({ part, asked, ...both }) => part === 'body' && isDecided(both) && isList(asked) && hasRootInProperties(asked) && !hasLists(asked),
    plainly: withoutRootsInProperties,
  },
  {
    id: 'lists',
    rare: true,
    text: 'of a name that comes twice in a query the last value counts, and a list or an object in brackets is no value; the original joins them with commas, or reads `[object Object]`',
    covers: ({ part, asked, ...both }) => part === 'body' && isDecided(both) && isList(asked) && hasLists(asked),
    plainly: (asked) => withoutRootsInProperties(withoutLists(asked)),
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
    covers: ({ part, asked, ...both }) => isOne(part, ['body', 'content-encoding']) && isBoth('200', both) && isList(asked)
      && isHashed(asked) && isAlikeElse(asked, both),
  },
  {
    id: 'dates',
    rare: true,
    text: '`currentTime` is read in the forms that RFC 3339, e-mail and JavaScript\'s own dates are printed in, whole or without seconds, day or month; other texts that JavaScript reads, such as `2098/01/01`, are dropped',
    covers: ({ part, asked, ...both }) => isOne(part, ['body', 'content-encoding']) && isBoth('200', both) && isList(asked)
      && isDated(asked) && isAlikeElse(asked, both),
  },
  {
    id: 'ports',
    rare: true,
    text: 'the port of an entry of `X-Forwarded-For` is dropped, so that rules of addresses match; the original keeps it',
    covers: ({ part, asked, ...both }) => part === 'body' && isBoth('200', both) && isList(asked) && isPorted(asked) && isAlikeElse(asked, both),
  },
  {
    id: 'prometheus',
    text: 'the three metrics of the original come first; ours follow, and the page is compressed for who accepts that',
    covers: ({ part, asked, ours, theirs }) => isAbout(asked) && isBoth('200', { ours, theirs }) && (part === 'content-encoding' || (part === 'body' && ours.body.startsWith('# HELP'))),
  },
  {
    id: 'segments',
    text: '`/proxy/client/features` brings the segments that its features name, and features in the order of their names',
    covers: ({ part, asked, ours, theirs }) => isDefinitions(asked) && part === 'body' && isBoth('200', { ours, theirs }) && definitions(ours.body) === definitions(theirs.body),
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
