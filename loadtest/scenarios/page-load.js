// Bursts of people who open a page, as after a message to everybody: each comes over a connection
// of its own, asks whether it may, then for its flags, without an ETag, and reports.

import { Page, asked, options as withThresholds, ramping, seconds } from './lib.js';

const { rate, duration } = asked(100, '2m');
const BURSTS = 3;
const each = seconds(duration) / BURSTS;

const burst = [[each * 0.1, rate], [each * 0.4, rate], [each * 0.1, 0], [each * 0.4, 0]];

export const options = {
  ...withThresholds({ bursts: ramping(Array.from({ length: BURSTS }, () => burst).flat(), rate) }),
  // Nobody has been here before.
  noVUConnectionReuse: true,
};

export default function open() {
  const page = new Page();
  page.preflight();
  page.poll();
  page.report();
}
