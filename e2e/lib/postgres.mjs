// A PostgreSQL of our own: private folder, free port on 127.0.0.1, no durability.

import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { eventually, freePort, launch, scratchFolder } from './processes.mjs';

const INSTALLED = '/usr/lib/postgresql';

/** The newest installed server's programs (Debian keeps them off PATH). */
function programs() {
  const versions = existsSync(INSTALLED) ? readdirSync(INSTALLED) : [];
  const newest = versions.map(Number).filter(Boolean).sort((a, b) => b - a)[0];
  if (!newest) throw new Error(`no PostgreSQL below ${INSTALLED}: apt-get install postgresql`);
  return join(INSTALLED, String(newest), 'bin');
}

/** PostgreSQL refuses to run as root; then it runs as the package's user. */
function identity() {
  if (process.getuid() !== 0) return {};
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** @returns {Promise<{ url: string }>} */
export async function startPostgres() {
  const bin = programs();
  const who = identity();
  const folder = scratchFolder('postgres');
  if (who.uid !== undefined) chownSync(folder, who.uid, who.gid);
  const data = join(folder, 'data');
  const locale = { LC_ALL: 'C.UTF-8' };
  execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'unleash', '-A', 'trust', '-E', 'UTF8', '--no-sync'], {
    cwd: folder, env: locale, stdio: ['ignore', 'ignore', 'inherit'], ...who,
  });
  const port = await freePort();
  const settings = ['-D', data, '-p', port, '-h', '127.0.0.1', '-k', folder, '-F',
    '-c', 'synchronous_commit=off', '-c', 'full_page_writes=off'];
  // SIGINT is its fast stop: it does not wait for clients.
  const child = launch('postgres', join(bin, 'postgres'), settings.map(String), {
    env: locale, folder, stopWith: 'SIGINT', ...who,
  });
  const isReady = () => {
    execFileSync(join(bin, 'pg_isready'), ['-h', '127.0.0.1', '-p', String(port), '-U', 'unleash'], { stdio: 'ignore' });
    return true;
  };
  await eventually('PostgreSQL accepts connections', isReady, { child, every: 100 });
  return { url: `postgres://unleash@127.0.0.1:${port}/postgres` };
}
