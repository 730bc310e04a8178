// What is asked: each mode's requests as bytes, and what a right answer to them is.

import { request as httpRequest, Agent } from 'node:http';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';

/** The name by which every program is asked, so that all of them read the same bytes. */
const HOST = '127.0.0.1';
const BROWSERS_ENCODINGS = 'gzip, deflate, br, zstd';
/** What the JavaScript SDK's preflight asks for. */
const SDK_HEADERS = 'accept,authorization,cache-control,content-type,if-none-match,unleash-appname,unleash-connection-id,unleash-sdk';

/** Connections, and requests under way on each, while tags are collected. */
const CONNECTIONS = 16;
const PIPELINED = 16;

const agent = new Agent({ keepAlive: true });

/** Each mode makes a request of a program and a query string; `tag` is what was answered to it before. */
export const MODES = {
  plain: { ask: ({ path, key }, query) => get(path, query, authorized(key)), expects: [200] },
  compressed: {
    ask: ({ path, key }, query) => get(path, query, { ...authorized(key), 'Accept-Encoding': BROWSERS_ENCODINGS }), expects: [200],
  },
  conditional: {
    ask: ({ path, key }, query, tag) => get(path, query, { ...authorized(key), 'If-None-Match': tag }), expects: [304], needsTags: true,
  },
  preflight: {
    ask: ({ path }, query) => ({
      method: 'OPTIONS', target: `${path}?${query}`, body: '',
      headers: { Accept: '*/*', Origin: 'https://app.example.com', 'Access-Control-Request-Method': 'GET', 'Access-Control-Request-Headers': SDK_HEADERS },
    }),
    expects: [200, 204],
  },
  post: {
    ask({ path, key }, query) {
      const body = JSON.stringify({ context: contextOf(query) });
      const headers = { ...authorized(key), 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(body)) };
      return { method: 'POST', target: path, body, headers };
    },
    expects: [200],
  },
};

const authorized = (key) => ({ Accept: 'application/json', Authorization: key });
const get = (path, query, headers) => ({ method: 'GET', target: `${path}?${query}`, headers, body: '' });

/** The context that a query string spells. */
function contextOf(query) {
  const context = { properties: {} };
  for (const [name, value] of new URLSearchParams(query)) {
    const property = /^properties\[(.*)\]$/.exec(name)?.[1];
    if (property) context.properties[property] = value;
    else context[name] = value;
  }
  return context;
}

/** The request as it goes over the wire. */
export function bytesOf({ method, target, headers, body }) {
  const lines = Object.entries({ Host: HOST, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `${method} ${target} HTTP/1.1\r\n${lines}\r\n${body}`;
}

/** Writes requests where wrk and `pace` read them, a zero byte between two. */
export function writeRequests(file, asks) {
  writeFileSync(file, asks.map(bytesOf).join('\0'));
}

/** Sends one request and takes the whole answer, its body as it came. */
export function send({ port }, { method, target, headers, body }) {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ agent, host: HOST, port, method, path: target, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, rawHeaders: response.rawHeaders, body: Buffer.concat(chunks) }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** The answers to all of `asks`, in order, `atOnce` under way at a time. */
export async function sendAll(program, asks, { atOnce = 32 } = {}) {
  const answered = new Array(asks.length);
  let next = 0;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < asks.length) {
      const at = next;
      next += 1;
      answered[at] = await send(program, asks[at]);
    }
  }));
  // A server closes what stays idle; nobody is to send into that.
  agent.destroy();
  return answered;
}

/**
 * The tag of the answer to each query string, as the program itself gave it; `null` where it gives none.
 *
 * A hundred thousand answers of which only the head is wanted: several requests are under way on
 * each connection, and bodies are counted, not kept.
 */
export async function tagsOf(program, queries) {
  const asks = queries.map((query) => bytesOf(MODES.plain.ask(program, query)));
  const share = Math.ceil(asks.length / CONNECTIONS);
  const parts = Array.from({ length: CONNECTIONS }, (_, n) => asks.slice(n * share, (n + 1) * share)).filter(({ length }) => length);
  const tags = (await Promise.all(parts.map((part) => tagsOver(program.port, part)))).flat();
  return tags.includes(null) ? null : tags;
}

/** The tags of the answers to `asks`, in order, over one connection. */
function tagsOver(port, asks) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, HOST);
    const tags = [];
    let sent = 0;
    let unread = Buffer.alloc(0);
    let bodyLeft = 0;
    const fill = () => {
      const upTo = Math.min(asks.length, tags.length + PIPELINED);
      if (upTo > sent) socket.write(asks.slice(sent, upTo).join(''));
      sent = upTo;
    };
    const fail = (why) => {
      socket.destroy();
      reject(new Error(`a tag cannot be had: ${why}`));
    };
    socket.on('connect', fill);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the server closed the connection')));
    socket.on('data', (chunk) => {
      unread = unread.length ? Buffer.concat([unread, chunk]) : chunk;
      for (;;) {
        const skipped = Math.min(bodyLeft, unread.length);
        bodyLeft -= skipped;
        unread = unread.subarray(skipped);
        const end = bodyLeft ? -1 : unread.indexOf('\r\n\r\n');
        if (end < 0) break;
        const head = unread.toString('latin1', 0, end);
        unread = unread.subarray(end + 4);
        const length = /^content-length: *(\d+)/im.exec(head)?.[1];
        if (!head.startsWith('HTTP/1.1 200') || length === undefined) return fail(head.split('\r\n')[0]);
        bodyLeft = Number(length);
        tags.push(/^etag: *(.*)$/im.exec(head)?.[1].trim() ?? null);
      }
      if (tags.length === asks.length && bodyLeft === 0) {
        resolve(tags);
        socket.destroy();
      } else if (sent - tags.length <= PIPELINED / 2) {
        fill();
      }
    });
  });
}

/** An answer's own headers: without those that the server writes by itself, `Date` and the framing. */
export function ownHeaders({ rawHeaders }) {
  const own = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at].toLowerCase();
    if (!['date', 'content-length', 'connection', 'transfer-encoding', 'keep-alive'].includes(name)) own.push([name, rawHeaders[at + 1]]);
  }
  return own;
}
