// Polls and reports through a balancer while the instances behind it are restarted one after
// another. `run.mjs` does the restarts, and compares what was accepted with what arrived upstream.

import { Page, SURFACES, asked, constant, options as withThresholds } from './lib.js';

const { rate, duration } = asked(100, '2m');
const share = (part) => ({ rate: Math.max(1, Math.round(rate * part)), duration });

export const options = withThresholds(
  { polls: constant(share(0.8), 'poll'), reports: constant(share(0.2), 'report') },
  // Whichever instance answers, it knows the ETag that another one gave.
  { not_modified: ['rate==1'] },
);

const surface = () => (Math.random() < 0.5 ? SURFACES.frontend : SURFACES.proxy);
let page = null;

export function poll() {
  page ??= new Page(surface());
  page.poll();
}

export function report() {
  (page ??= new Page(surface())).report();
}
