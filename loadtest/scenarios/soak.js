// For hours: polls, pages that are opened, reports, while upstream's flags change again and again.
// `run.mjs` makes the changes and watches the memory.

import { Page, SURFACES, asked, constant, options as withThresholds } from './lib.js';

/** Polls by one page, until somebody else opens it. */
const POLLS = 20;

export const options = withThresholds({ soak: constant(asked(100, '1h')) });

let page = null;
let polls = 0;

export default function live() {
  if (page === null || polls % POLLS === 0) {
    page = new Page(polls % (2 * POLLS) === 0 ? SURFACES.frontend : SURFACES.proxy);
    page.preflight();
  }
  polls += 1;
  page.poll();
  if (polls % 4 === 0) page.report();
}
