// `offleash demo`: ready in no time, and the line it prints does what it says.

import { execFileSync } from 'node:child_process';

import { answers, eventually, freePort, launch, runThenEnd, scratchFolder } from '../lib/processes.mjs';
import { Tally } from '../lib/tally.mjs';
import { offleashBinary } from '../lib/targets.mjs';

const READY_WITHIN_MS = 1000;

/** The flag names of one list of the greeting: `  name, name: why` lines after its headline. */
function listed(greeting, headline) {
  const lines = greeting.slice(greeting.indexOf(headline) + headline.length).split('\n').slice(1);
  const end = lines.findIndex((line) => !line.startsWith('  '));
  return lines.slice(0, end < 0 ? lines.length : end).flatMap((line) => line.split(':')[0].trim().split(', '));
}

await runThenEnd(async () => {
  const tally = new Tally();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const folder = scratchFolder('demo');
  const from = performance.now();
  const child = launch('demo', offleashBinary(), ['demo', '--port', String(port)], { folder });
  await eventually('the demo is ready', () => answers(`${url}/internal-backstage/ready`), { child, every: 2 });
  const took = performance.now() - from;
  tally.check(`ready within ${READY_WITHIN_MS} ms`, took < READY_WITHIN_MS, `${took.toFixed(0)} ms`);
  console.log(`ready after ${took.toFixed(0)} ms`);

  const greeting = child.output();
  const line = /^ *(curl .*)$/m.exec(greeting)?.[1];
  tally.check('the greeting shows a line to try', Boolean(line), greeting);
  console.log(line);
  const answer = JSON.parse(execFileSync('bash', ['-c', line], { encoding: 'utf8' }));
  const names = answer.toggles.map(({ name }) => name);
  const on = listed(greeting, 'On for this context:');
  const off = listed(greeting, 'Off, and therefore not in the answer:');
  tally.check('the greeting names flags', on.length > 3 && off.length > 0, greeting);
  tally.equal('the line answers with the flags that the greeting names', names, [...on].sort());
  tally.check('and with none of those it calls off', off.every((name) => !names.includes(name)), names.join(', '));

  execFileSync(offleashBinary(), ['health', '--edge-url', url], { stdio: 'inherit' });
  tally.check('`offleash health` agrees', true);
  const stopping = performance.now();
  await child.stop('SIGTERM');
  const stopped = performance.now() - stopping;
  tally.check('stops at SIGTERM within 5 s', stopped < 5000, `${stopped.toFixed(0)} ms`);
  let refused = false;
  try {
    execFileSync(offleashBinary(), ['health', '--edge-url', url], { stdio: 'ignore' });
  } catch {
    refused = true;
  }
  tally.check('`offleash health` fails when nothing answers', refused, 'exit code 0');
  return tally.close();
});
