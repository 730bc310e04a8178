// The programs under test, each behind the same face: Offleash in both dialects, and the two it
// replaces (to show that the comparison itself is right).

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

import { answers, eventually, freePort, launch, scratchFolder } from './processes.mjs';
import { HOSTNAME, packageFolder } from './unleash.mjs';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

/** `OFFLEASH_BIN`, else the release binary, wherever cargo was told to put it. */
export function offleashBinary() {
  const built = process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target');
  return program('OFFLEASH_BIN', process.env.OFFLEASH_BIN ?? join(built, 'release', 'offleash'));
}

/** Unleash Edge, for comparing: `EDGE_BIN`. */
export function edgeBinary() {
  if (!process.env.EDGE_BIN) throw new Error('EDGE_BIN must name the `unleash-edge` binary');
  return program('EDGE_BIN', process.env.EDGE_BIN);
}

function program(variable, path) {
  if (!existsSync(path)) throw new Error(`no program at \`${path}\` (${variable})`);
  return path;
}

/** The Unleash Proxy's variables, which Offleash reads too. */
function proxyEnv({ upstream, token, clientKey, port, pollMs, folder, more }) {
  return {
    UNLEASH_URL: `${upstream}/api`,
    UNLEASH_API_TOKEN: token,
    UNLEASH_PROXY_CLIENT_KEYS: clientKey,
    UNLEASH_FETCH_INTERVAL: String(pollMs),
    UNLEASH_METRICS_INTERVAL: '1000',
    PORT: String(port),
    HOSTNAME,
    TMPDIR: folder,
    ...more,
  };
}

/** Offleash, or the Unleash Proxy itself, in the Proxy's dialect; by default on a free port. */
export async function startProxy(which, { upstream, token, clientKey, pollMs = 500, port, more = {} }) {
  port ??= await freePort();
  const folder = scratchFolder(which);
  const env = proxyEnv({ upstream, token, clientKey, port, pollMs, folder, more });
  const [command, args] = which === 'offleash'
    ? [offleashBinary(), []]
    : [process.execPath, [join(packageFolder('@unleash/proxy'), 'dist', 'start.js')]];
  const child = launch(`${which}-proxy`, command, args, { env, folder });
  const url = `http://127.0.0.1:${port}`;
  await eventually(`${which} in the Proxy's dialect is ready`, () => answers(`${url}${more.PROXY_BASE_PATH ?? ''}/proxy/health`), { child });
  return { url: `${url}${more.PROXY_BASE_PATH ?? ''}/proxy`, root: url, child, pollMs };
}

/** Offleash, or Unleash Edge itself, in Edge's dialect; by default on a free port. */
export async function startEdge(which, { upstream, tokens, pollSeconds = 1, port, more = {} }) {
  port ??= await freePort();
  const folder = scratchFolder(which);
  const env = {
    UPSTREAM_URL: upstream,
    TOKENS: tokens.join(','),
    FEATURES_REFRESH_INTERVAL_SECONDS: String(pollSeconds),
    METRICS_INTERVAL_SECONDS: '1',
    INTERFACE: '127.0.0.1',
    PORT: String(port),
    HOSTNAME,
    ...more,
  };
  const command = which === 'offleash' ? offleashBinary() : edgeBinary();
  const child = launch(`${which}-edge`, command, ['edge'], { env, folder });
  const url = `http://127.0.0.1:${port}`;
  await eventually(`${which} in Edge's dialect is ready`, () => answers(`${url}/internal-backstage/ready`), { child });
  return { url: `${url}/api/frontend`, root: url, child, pollMs: pollSeconds * 1000 };
}
