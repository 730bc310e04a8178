// The real Unleash server on 127.0.0.1, and its admin API.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { answers, eventually, freePort, launch, scratchFolder } from './processes.mjs';

const require = createRequire(import.meta.url);
const ADMIN = { username: 'admin', password: 'e2e-only-Passw0rd!' };

/** What `applicationHostname` compares with, in every process of a run. */
export const HOSTNAME = 'e2e-host';

/** The folder of an installed npm package, whatever it exports. */
export function packageFolder(name) {
  for (const folder of require.resolve.paths(name)) {
    try {
      return dirname(require.resolve(join(folder, name, 'package.json')));
    } catch { /* not in this one */ }
  }
  throw new Error(`npm package \`${name}\` is not installed: run \`npm ci\` in e2e/`);
}

export class Unleash {
  #cookie = '';

  constructor(url) {
    this.url = url;
  }

  static async start(databaseUrl) {
    const port = await freePort();
    const folder = scratchFolder('unleash');
    const env = {
      DATABASE_URL: databaseUrl,
      DATABASE_SSL: 'false',
      HTTP_HOST: '127.0.0.1',
      HTTP_PORT: String(port),
      UNLEASH_URL: `http://127.0.0.1:${port}`,
      HOSTNAME,
      NODE_ENV: 'production',
      LOG_LEVEL: 'warn',
      UNLEASH_DEFAULT_ADMIN_USERNAME: ADMIN.username,
      UNLEASH_DEFAULT_ADMIN_PASSWORD: ADMIN.password,
      // No network but loopback.
      CHECK_VERSION: 'false',
      SEND_TELEMETRY: 'false',
      SCARF_ANALYTICS: 'false',
      // What a fresh server refuses without a switch.
      UNLEASH_EXPERIMENTAL_ENABLE_LEGACY_VARIANTS: 'true',
      UNLEASH_EXPERIMENTAL_REGEX_CONSTRAINT_OPERATOR: 'true',
    };
    const main = join(packageFolder('unleash-server'), 'dist', 'server.js');
    const child = launch('unleash', process.execPath, [main], { env, folder });
    const unleash = new Unleash(`http://127.0.0.1:${port}`);
    await eventually('Unleash is healthy', () => answers(`${unleash.url}/health`), { child, within: 120_000, every: 100 });
    await unleash.#signIn();
    return unleash;
  }

  async #signIn() {
    const response = await fetch(`${this.url}/auth/simple/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(ADMIN),
    });
    if (!response.ok) throw new Error(`sign-in: ${response.status} ${await response.text()}`);
    this.#cookie = response.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ');
  }

  /** A call of the admin API; throws unless it answers 2xx. */
  async admin(method, path, body) {
    const response = await fetch(`${this.url}/api/admin/${path}`, {
      method,
      headers: { cookie: this.#cookie, 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text} for ${JSON.stringify(body)}`);
    return text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text;
  }

  /** A new API token's secret; `type` is `backend` or `frontend`. Without a project it sees all. */
  async token(type, environment, project) {
    const made = await this.admin('POST', 'api-tokens', {
      tokenName: `e2e-${type}-${environment}`, type, environment,
      // The open-source server refuses an explicit `*`.
      ...(project ? { project } : {}),
    });
    return made.secret;
  }

  setEnabled(flag, environment, on) {
    return this.admin('POST', `projects/default/features/${flag}/environments/${environment}/${on ? 'on' : 'off'}`);
  }

  /** The answer of the server's own `/api/client/features`, as an SDK sees it. */
  async clientFeatures(token) {
    const response = await fetch(`${this.url}/api/client/features`, {
      headers: { authorization: token, 'unleash-client-spec': '5.2.0' },
    });
    return response.json();
  }
}
