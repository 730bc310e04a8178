// The conformance suite of `tests/api/proxy`, asked of the Unleash Proxy itself: what we hold to be
// its behaviour is its behaviour, or stands there as a difference with its reason.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { packageFolder } from '../lib/unleash.mjs';

const { stdout, status } = spawnSync('cargo', ['test', '--locked', '--test', 'api', '--', 'proxy::own_tests', 'proxy::tables', 'proxy::values'], {
  cwd: fileURLToPath(new URL('../..', import.meta.url)),
  env: { ...process.env, OFFLEASH_CONFORMANCE_ORIGINAL: packageFolder('@unleash/proxy') },
  stdio: ['ignore', 'pipe', 'inherit'],
  maxBuffer: 64 << 20,
});
const text = stdout.toString();
const [, passed = 0, failed = 1] = text.match(/test result: .*? (\d+) passed; (\d+) failed/) ?? [];
if (status !== 0) console.log(text);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = status === 0 && Number(passed) > 0 ? 0 : 1;
