// How a frontend SDK asks: a context as a query string or as a JSON body.

/** The query string of a GET: root fields flat, properties as `properties[name]`. */
export function query(context) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(context)) {
    if (name !== 'properties') pairs.append(name, value);
  }
  for (const [name, value] of Object.entries(context.properties ?? {})) {
    pairs.append(`properties[${name}]`, value);
  }
  return pairs.toString();
}

/** One evaluation request: its status, headers, the body as sent and, when it is JSON, as read. */
export async function ask(url, token, context, { method = 'GET', headers = {} } = {}) {
  const response = method === 'GET'
    ? await fetch(`${url}?${query(context)}`, { headers: { authorization: token, ...headers } })
    : await fetch(url, {
      method,
      headers: { authorization: token, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ context }),
    });
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').startsWith('application/json');
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : null };
}

/** Byte order of the UTF-8 texts. */
export const byteOrder = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));

export const byName = (toggles) => [...toggles].sort((a, b) => byteOrder(a.name, b.name));
