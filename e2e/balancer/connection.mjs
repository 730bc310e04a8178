// One kept-alive connection and what comes back on it, answer by answer: no client in between that
// opens another one, asks again or tidies up.

import { connect } from 'node:net';

const WITHIN = 10_000;
const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** Why no further answer came. `clean`: the other side said that it closes, and left no answer half sent. */
export class Ended extends Error {
  constructor(message, clean) {
    super(message);
    this.clean = clean;
  }
}

export class Connection {
  #socket;
  #unread = Buffer.alloc(0);
  #end = null;
  #wake = () => {};

  static open(port) {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.off('error', reject);
        resolve(new Connection(socket));
      });
      socket.once('error', reject);
      socket.setNoDelay(true);
    });
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#changed(() => { this.#unread = Buffer.concat([this.#unread, chunk]); }));
    socket.on('end', () => this.#changed(() => { this.#end ??= new Ended('closed', true); }));
    socket.on('error', (err) => this.#changed(() => { this.#end ??= new Ended(err.code ?? err.message, false); }));
    socket.on('close', () => this.#changed(() => { this.#end ??= new Ended('closed', true); }));
  }

  #changed(change) {
    change();
    this.#wake();
  }

  get isOpen() {
    return this.#end === null;
  }

  /** What came and belongs to no answer that was read, as text. */
  get unread() {
    return this.#unread.toString('latin1');
  }

  /** Sends the bytes. That the other side closed meanwhile shows when its answer is read. */
  send(bytes) {
    if (this.isOpen) this.#socket.write(bytes);
  }

  /** As `send`; returns once the system has taken the bytes. */
  sent(bytes) {
    return new Promise((resolve) => this.#socket.write(bytes, resolve));
  }

  /**
   * The next answer; one that is only `100 Continue` counts.
   *
   * @param {string} method of the request that is answered: no body comes after HEAD
   * @returns {Promise<{ status: number, header: (name: string) => string | null, body: string, closes: boolean }>}
   * @throws {Ended} when the connection ended first, or nothing came for ten seconds
   */
  async answer(method = 'GET') {
    const head = await this.#read(() => {
      const end = this.#unread.indexOf(END_OF_HEAD);
      return end < 0 ? null : this.#take(end + 4);
    });
    const [first, ...lines] = head.toString('latin1').trimEnd().split('\r\n');
    if (!/^HTTP\/1\.[01] \d{3}/.test(first)) throw new Ended(`no answer: \`${first.slice(0, 80)}\``, false);
    const headers = new Map(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
    const header = (name) => headers.get(name) ?? null;
    const status = Number(first.split(' ')[1]);
    const body = await this.#body(method, status, header);
    return { status, header, body: body.toString(), closes: header('connection')?.toLowerCase() === 'close' };
  }

  async #body(method, status, header) {
    if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return Buffer.alloc(0);
    if (header('transfer-encoding') === 'chunked') return this.#chunks();
    const length = Number(header('content-length') ?? Number.NaN);
    if (Number.isNaN(length)) throw new Ended(`an answer (${status}) of no known length`, false);
    return this.#read(() => (this.#unread.length < length ? null : this.#take(length)));
  }

  async #chunks() {
    const parts = [];
    for (;;) {
      const line = await this.#read(() => {
        const end = this.#unread.indexOf('\r\n');
        return end < 0 ? null : this.#take(end + 2);
      });
      const size = Number.parseInt(line.toString(), 16);
      const chunk = await this.#read(() => (this.#unread.length < size + 2 ? null : this.#take(size + 2)));
      if (size === 0) return Buffer.concat(parts);
      parts.push(chunk.subarray(0, size));
    }
  }

  #take(length) {
    const taken = this.#unread.subarray(0, length);
    this.#unread = this.#unread.subarray(length);
    return taken;
  }

  /** Waits until `find` finds something in what came. */
  #read(find) {
    return this.#until(() => {
      const found = find();
      if (found) return found;
      if (this.#end) throw this.#unread.length ? new Ended(`broke off: ${this.#end.message}`, false) : this.#end;
      return null;
    });
  }

  /** Waits until the other side has closed. */
  async ended() {
    await this.#until(() => this.#end);
    return this.#end;
  }

  #until(find) {
    return new Promise((resolve, reject) => {
      const patience = setTimeout(() => settle(() => reject(new Ended(`nothing for ${WITHIN} ms`, false))), WITHIN);
      const settle = (how) => {
        clearTimeout(patience);
        this.#wake = () => {};
        how();
      };
      this.#wake = () => {
        try {
          const found = find();
          if (found) settle(() => resolve(found));
        } catch (err) {
          settle(() => reject(err));
        }
      };
      this.#wake();
    });
  }

  close() {
    this.#socket.destroy();
  }
}
