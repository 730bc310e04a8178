// A few seconds of polling.js against `offleash demo`: do the flags, the ETags and the thresholds
// hold under a gentle, steady load? `K6` names the k6 program, by default the one on PATH.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { answers, eventually, freePort, launch, runThenEnd, scratchFolder } from '../e2e/lib/processes.mjs';
import { offleashBinary } from '../e2e/lib/targets.mjs';

const SCENARIO = fileURLToPath(new URL('polling.js', import.meta.url));

await runThenEnd(async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const folder = scratchFolder('k6');
  const child = launch('demo', offleashBinary(), ['demo', '--port', String(port)], { folder });
  await eventually('the demo is ready', () => answers(`${url}/internal-backstage/ready`), { child });
  // A generous p95: the machine that runs the tests may be busy with other things.
  const settings = { URL: `${url}/api/frontend`, KEY: 'demo-key', RATE: '200', DURATION: '5s', P95_MS: '50' };
  const args = ['run', '--quiet', '--no-usage-report', '--address', '',
    ...Object.entries(settings).flatMap(([name, value]) => ['-e', `${name}=${value}`]), SCENARIO];
  const k6 = spawn(process.env.K6 ?? 'k6', args, {
    stdio: 'inherit', env: { ...process.env, K6_AUTO_EXTENSION_RESOLUTION: 'false', K6_NO_USAGE_REPORT: 'true' },
  });
  return new Promise((resolve, reject) => {
    k6.once('error', reject);
    k6.once('exit', (code) => resolve(code ?? 1));
  });
});
