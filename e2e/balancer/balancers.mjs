// HAProxy and nginx in front of some instances, each with the configuration that docs/balancers
// shows: only the addresses are ours.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { eventually, freePort, launch, scratchFolder } from '../lib/processes.mjs';

const SHOWN = fileURLToPath(new URL('../../docs/balancers/', import.meta.url));
const SHOWN_ADDRESS = /10\.0\.0\.\d+:3063/;

export const BALANCERS = ['haproxy', 'nginx'];

/**
 * Starts a balancer in front of the instances that listen on `ports`, on a port of its own.
 *
 * @param {'haproxy' | 'nginx'} which
 * @param {number[]} ports
 * @param {{ workers?: number }} [settings] threads or processes: each keeps connections of its own
 * @returns {Promise<{ which: string, port: number, url: string, child: object }>}
 */
export async function startBalancer(which, ports, { workers = 2 } = {}) {
  const port = await freePort();
  const folder = scratchFolder(which);
  const args = which === 'haproxy' ? haproxy(folder, port, ports, workers) : nginx(folder, port, ports, workers);
  const child = launch(which, program(which), args, { folder });
  await eventually(`${which} listens`, () => accepts(port), { child });
  return { which, port, url: `http://127.0.0.1:${port}`, child };
}

function haproxy(folder, port, ports, workers) {
  const common = `global\n    maxconn 2000\n    nbthread ${workers}\n`;
  const shown = withServers(shownFile('haproxy.cfg'), ports).replace('bind :8080', `bind 127.0.0.1:${port}`);
  writeFileSync(join(folder, 'common.cfg'), common);
  writeFileSync(join(folder, 'haproxy.cfg'), shown);
  return ['-db', '-f', 'common.cfg', '-f', 'haproxy.cfg'];
}

function nginx(folder, port, ports, workers) {
  const shown = withServers(shownFile('nginx.conf'), ports).replace('listen 8080', `listen 127.0.0.1:${port}`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${name};`);
  writeFileSync(join(folder, 'shown.conf'), shown);
  writeFileSync(join(folder, 'nginx.conf'), [
    // Its workers would become somebody else, who cannot enter our folder.
    process.getuid() === 0 ? 'user root;' : '',
    `worker_processes ${workers};`, 'daemon off;', 'pid nginx.pid;', 'error_log stderr warn;', 'events { worker_connections 1024; }',
    'http {', '  access_log off;', ...temporary, '  include shown.conf;', '}', '',
  ].join('\n'));
  return ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'];
}

const shownFile = (name) => readFileSync(join(SHOWN, name), 'utf8');

/** The configuration with our addresses; servers that it shows and we have not are left out. */
function withServers(text, ports) {
  const left = [...ports];
  const lines = text.split('\n').flatMap((line) => {
    if (!SHOWN_ADDRESS.test(line)) return [line];
    return left.length ? [line.replace(SHOWN_ADDRESS, `127.0.0.1:${left.shift()}`)] : [];
  });
  if (left.length) throw new Error(`the configuration shows fewer than ${ports.length} servers`);
  return lines.join('\n');
}

/** Debian keeps them where only root looks. */
function program(name) {
  const found = [...process.env.PATH.split(':'), '/usr/sbin'].map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (!found) throw new Error(`no \`${name}\` on PATH: install Debian's package of that name`);
  return found;
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
