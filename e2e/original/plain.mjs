// Requests without what the two programs read in different ways on purpose: asked like this, the
// original has to decide what we decide when asked the other way.

const ROOTS = ['userId', 'sessionId', 'appName', 'environment', 'remoteAddress', 'currentTime'];
const PROPERTY = /^properties\[([^\][]+)\]$/;

/** The pairs of a query: `{ name, text }`, the name decoded, the text as it was sent. */
function pairs(target) {
  return target.replace(/^[^?]*\??/, '').split('&').filter(Boolean).map((text) => ({ name: decoded(text.replace(/=.*$/s, '')), text }));
}

function decoded(text) {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

const withPairs = (asked, texts) => ({ ...asked, target: `${asked.target.replace(/\?.*$/s, '')}?${texts.join('&')}` });

/** Whether the query says a name twice, or has other brackets than one pair around a property's name. */
export function hasLists({ method, target }) {
  if (method !== 'GET') return false;
  const names = pairs(target).map(({ name }) => name);
  return new Set(names).size < names.length || names.some((name) => name.includes('[') && !PROPERTY.test(name));
}

/** Whether a pair says nothing of a root field, there or among the properties. */
function isNothing({ name, text }) {
  const root = PROPERTY.exec(name)?.[1] ?? name;
  const value = decoded(text.replace(/^[^=]*=?/s, ''));
  return ROOTS.includes(root) && (value === '' || (root === 'currentTime' && Number.isNaN(Date.parse(value))));
}

/** The last of each name that says something, and no brackets but a property's. */
export function withoutLists(asked) {
  const all = pairs(asked.target).filter((pair) => !isNothing(pair));
  const kept = all.filter(({ name }, at) => all.findLastIndex((other) => other.name === name) === at && (!name.includes('[') || PROPERTY.test(name)));
  return withPairs(asked, kept.map(({ text }) => text));
}

/** Whether a root field's name stands in the properties, and the root field does not. */
export function hasRootInProperties(asked) {
  return missingRoots(asked).length > 0;
}

/** The same with those root fields in their place as well. */
export function withoutRootsInProperties(asked) {
  const missing = missingRoots(asked);
  if (asked.method === 'GET') {
    // An empty one goes: said twice, it would be a list.
    const others = pairs(asked.target).filter(({ name }) => !missing.some((root) => root.name === name));
    return withPairs(asked, [...others.map(({ text }) => text), ...missing.map(({ name, value }) => `${name}=${value}`)]);
  }
  const body = JSON.parse(asked.body);
  for (const { name, value } of missing) body.context[name] = value;
  return { ...asked, headers: asked.headers.filter(([name]) => name !== 'Content-Encoding'), body: Buffer.from(JSON.stringify(body)) };
}

/** Root fields that are given as properties only: `{ name, value }`, for a query still encoded. */
function missingRoots({ method, target, body }) {
  if (method === 'GET') {
    const all = pairs(target);
    const last = (name) => all.findLast((pair) => pair.name === name)?.text.replace(/^[^=]*=?/s, '');
    return ROOTS.filter((name) => !last(name) && last(`properties[${name}]`)).map((name) => ({ name, value: last(`properties[${name}]`) }));
  }
  if (method !== 'POST' || body === undefined) return [];
  const context = contextOf(body);
  return ROOTS.filter((name) => !context?.[name] && context?.properties?.[name]).map((name) => ({ name, value: context.properties[name] }));
}

function contextOf(body) {
  try {
    return JSON.parse(body).context;
  } catch {
    return null;
  }
}
