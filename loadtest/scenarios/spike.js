// Ten times as many from one moment to the next, and back: nothing fails meanwhile, and after it
// everything is as quick as it has to be again.

import { P99_MS, Page, asked, constant, options as withThresholds, seconds } from './lib.js';

const TIMES = 10;
const { rate, duration } = asked(50, '2m');
const third = seconds(duration) / 3;

const part = (at, times) => ({ ...constant({ rate: rate * times, duration: `${third}s` }), startTime: `${third * at}s` });

export const options = withThresholds(
  { before: part(0, 1), spike: part(1, TIMES), after: part(2, 1) },
  { 'http_req_duration{scenario:after}': [`p(99)<${P99_MS}`], not_modified: ['rate==1'] },
);

let page = null;

export default function poll() {
  page ??= new Page();
  page.poll();
}
