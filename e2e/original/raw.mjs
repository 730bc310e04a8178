// Requests exactly as written, answers exactly as sent: no client in between that tidies either.

import { connect } from 'node:net';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';

const WITHIN = 10_000;

/** The bytes of a request; `headers` is a list of lines' pairs, so that one may come twice. */
export function written({ method, target, headers, body }) {
  const lines = [`${method} ${target} HTTP/1.1`, 'Host: proxy.test', ...headers.map(([name, value]) => `${name}: ${value}`)];
  if (body !== undefined) lines.push(`Content-Length: ${body.length}`);
  lines.push('Connection: close', '', '');
  return Buffer.concat([Buffer.from(lines.join('\r\n'), 'latin1'), body ?? Buffer.alloc(0)]);
}

/** Sends bytes and reads until the other side closes. */
export function exchange(port, bytes) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.setTimeout(WITHIN, () => socket.destroy(new Error(`no answer within ${WITHIN} ms`)));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', (err) => (chunks.length ? resolve(read(Buffer.concat(chunks))) : reject(err)));
    socket.on('end', () => resolve(read(Buffer.concat(chunks))));
  });
}

/** `{ status, header(name), body }`; the body plain, whatever it was sent in. */
function read(bytes) {
  const end = bytes.indexOf('\r\n\r\n');
  const [first, ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const headers = new Map();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  const header = (name) => headers.get(name)?.join(', ') ?? null;
  let body = bytes.subarray(end + 4);
  if (header('transfer-encoding') === 'chunked') body = unchunked(body);
  return { status: Number(first.split(' ')[1]), header, body: decoded(header('content-encoding'), body).toString() };
}

function unchunked(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length;) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) break;
    const size = Number.parseInt(bytes.subarray(at, line).toString(), 16);
    if (!size) break;
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
  return Buffer.concat(parts);
}

function decoded(coding, body) {
  if (body.length === 0) return body;
  if (coding === 'gzip') return gunzipSync(body);
  if (coding === 'br') return brotliDecompressSync(body);
  if (coding === 'deflate') return inflateSync(body);
  return body;
}
