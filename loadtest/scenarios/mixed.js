// Everybody at once, each at a rate of its own: pages of both surfaces that poll, apps that ask by
// POST, servers that keep the definitions, reports from all of them.

import { Page, SURFACES, Server, asked, constant, options as withThresholds } from './lib.js';

const { rate, duration } = asked(200, '2m');
const share = (part) => ({ rate: Math.max(1, Math.round(rate * part)), duration });

export const options = withThresholds({
  frontend: constant(share(0.4), 'frontend'),
  proxy: constant(share(0.3), 'proxy'),
  apps: constant(share(0.1), 'app'),
  servers: constant(share(0.05), 'server'),
  reports: constant(share(0.15), 'report'),
}, { not_modified: ['rate>0.5'] });

/** What this virtual user plays, one of each. */
const played = {};

export function frontend() {
  (played.frontend ??= new Page(SURFACES.frontend)).poll();
}

export function proxy() {
  (played.proxy ??= new Page(SURFACES.proxy)).poll();
}

export function app() {
  new Page(Math.random() < 0.5 ? SURFACES.frontend : SURFACES.proxy).ask();
}

export function server() {
  (played.server ??= new Server()).poll();
}

export function report() {
  new Page(Math.random() < 0.5 ? SURFACES.frontend : SURFACES.proxy).report();
}
