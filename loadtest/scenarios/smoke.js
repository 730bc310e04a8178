// A little of everything: does each answer come, and is it the right one?

import { Page, SURFACES, Server, asked, constant, options as withThresholds } from './lib.js';

const surfaces = Object.values(SURFACES);

export const options = withThresholds({ smoke: constant(asked(10, '30s')) }, { not_modified: ['rate==1'] });

/** What this virtual user plays, one of each. */
let server = null;

export default function everything() {
  server ??= new Server();
  for (const surface of surfaces) {
    const page = new Page(surface);
    page.preflight();
    page.poll();
    page.poll();
    page.ask();
    page.report();
  }
  server.poll();
}
