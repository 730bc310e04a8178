// A steady fleet: RATE × INTERVAL pages are open, each asks again every INTERVAL seconds with the
// ETag it has. By default 3,000 pages, every 30 s. Now and then somebody else opens a page.

import exec from 'k6/execution';

import { Page, asked, constant, options as withThresholds, users } from './lib.js';

const INTERVAL = Number(__ENV.INTERVAL || 30);
/** The share of polls before which the page is opened anew. */
const OPENED = 0.02;

const arrivals = asked(100, '5m');
const fleet = Math.ceil(arrivals.rate * INTERVAL);

// A fixed number of virtual users, each with its share of the pages: k6 gives the next poll to
// whoever is free, in turn.
const USERS = Math.min(fleet, users(arrivals.rate).preAllocatedVUs);
const PAGES_EACH = Math.ceil(fleet / USERS);

export const options = withThresholds(
  { polling: { ...constant(arrivals), preAllocatedVUs: USERS, maxVUs: USERS } },
  // Nothing changes upstream: who asks again has everything already.
  { not_modified: ['rate==1'] },
);

const pages = [];
let turn = 0;

export default function poll() {
  const at = turn % PAGES_EACH;
  turn += 1;
  if (!pages[at] || Math.random() < OPENED) pages[at] = new Page();
  pages[at].poll();
}

export function setup() {
  console.log(`${fleet} pages, every ${INTERVAL} s, for ${arrivals.duration} (${exec.instance.vusInitialized} virtual users)`);
}
