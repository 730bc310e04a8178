// The OpenAPI document against the program that it describes: Schemathesis makes up requests from
// the document, sound and unsound ones, and holds every answer against it. A run is bounded in time
// and begins with the same seed each time. SCHEMATHESIS_SECONDS and SCHEMATHESIS_SEED change that.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { eventually, runThenEnd, scratchFolder } from '../lib/processes.mjs';
import { Stub } from '../lib/stub.mjs';
import { Tally } from '../lib/tally.mjs';
import { startProxy } from '../lib/targets.mjs';

const SECONDS = process.env.SCHEMATHESIS_SECONDS ?? '60';
const SEED = process.env.SCHEMATHESIS_SEED ?? '20261123';
const KEY = 'e2e-key';
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const REQUIREMENTS = fileURLToPath(new URL('requirements.txt', import.meta.url));
const VENV = join(process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target'), 'tools', 'schemathesis');

// What must hold for every answer. Not among them: `negative_data_rejection`, for the document says
// what is meant to be sent, and more than that is read, as the Unleash Proxy does: texts that spell a
// number for a number, and times without a zone.
const CHECKS = [
  'not_a_server_error', 'status_code_conformance', 'content_type_conformance', 'response_headers_conformance',
  'response_schema_conformance', 'positive_data_acceptance', 'ignored_auth',
];

const FLAGS = ['plain', 'banner', 'off'].map((name) => ({
  name, type: 'release', project: 'default', enabled: name !== 'off', stale: false, impressionData: name === 'banner',
  strategies: [{
    name: 'flexibleRollout', constraints: [], segments: [1],
    parameters: { rollout: '50', stickiness: 'userId', groupId: name },
    variants: name === 'banner' ? [{ name: 'blue', weight: 1000, stickiness: 'userId', payload: { type: 'string', value: 'x' } }] : [],
  }],
  variants: [],
}));
const SEGMENTS = [{ id: 1, constraints: [{ contextName: 'plan', operator: 'NOT_IN', values: ['free'] }] }];

/** Runs a program to its end, its output to ours as well; `{ code, output }`. */
function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    const chunks = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        chunks.push(chunk);
        process.stdout.write(chunk);
      });
    }
    child.once('error', reject);
    child.once('exit', (code) => resolve({ code, output: Buffer.concat(chunks).toString() }));
  });
}

async function must(command, args) {
  const { code } = await run(command, args);
  if (code !== 0) throw new Error(`\`${command} ${args.join(' ')}\` failed (${code})`);
}

/** The programs as required, installed once. */
async function install() {
  const stamp = join(VENV, 'installed.txt');
  const wanted = readFileSync(REQUIREMENTS, 'utf8');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  mkdirSync(VENV, { recursive: true });
  await must('python3', ['-m', 'venv', '--clear', VENV]);
  await must(join(VENV, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', '--requirement', REQUIREMENTS]);
  writeFileSync(stamp, wanted);
}

await runThenEnd(async () => {
  await install();
  const tally = new Tally();
  const stub = await Stub.start();
  try {
    stub.serve(FLAGS, SEGMENTS);
    const settings = { upstream: stub.url, token: '*:development.e2e', clientKey: KEY, pollMs: 200 };
    const more = {
      ENABLE_OAS: 'true',
      ENABLE_ALL_ENDPOINT: 'true',
      // One key for everything, so that every operation gets as far as it can.
      EXP_SERVER_SIDE_SDK_CONFIG_TOKENS: KEY,
      // Ten thousand names, which the document allows, are more than the default takes.
      OFFLEASH_BODY_LIMIT_BYTES: String(8 << 20),
    };
    const folder = scratchFolder('schemathesis');

    for (const base of ['', '/some/base']) {
      const target = await startProxy('offleash', { ...settings, more: { ...more, PROXY_BASE_PATH: base } });
      for (const format of ['json', 'yaml']) {
        const file = join(folder, `openapi.${format}`);
        writeFileSync(file, await (await fetch(`${target.root}${base}/docs/openapi.${format}`)).text());
        const { code, output } = await run(join(VENV, 'bin', 'openapi-spec-validator'), [file]);
        tally.check(`${format} with the base path \`${base}\` is valid OpenAPI`, code === 0, output);
      }
      await target.child.stop();
    }

    const target = await startProxy('offleash', { ...settings, more });
    const report = join(folder, 'report.xml');
    const { code, output } = await run(join(VENV, 'bin', 'schemathesis'), [
      'run', `${target.root}/docs/openapi.json`, '--header', `authorization:${KEY}`, '--checks', CHECKS.join(','),
      '--max-time', SECONDS, '--seed', SEED, '--continue-on-failure', '--request-timeout', '20',
      '--report', 'junit', '--report-junit-path', report, '--no-color',
    ], { cwd: folder });
    tally.check('Schemathesis finds nothing', code === 0, 'see above');
    // One test case of the report is one operation of the document.
    const document = await (await fetch(`${target.root}/docs/openapi.json`)).json();
    const operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`));
    const cases = readFileSync(report, 'utf8');
    for (const operation of operations) {
      tally.check(`${operation} was tried`, cases.includes(`name="${operation}"`), cases.slice(0, 2000));
    }
    const requests = Number(/(\d[\d,]*) generated/.exec(output)?.[1]?.replaceAll(',', '') ?? 0);
    tally.check('Schemathesis asked often enough to know', requests >= 500, `${requests} requests`);
    await eventually('it still answers', async () => (await fetch(`${target.root}/proxy/health`)).status === 200, { child: target.child });
    tally.check('and the program still runs', !target.child.exited(), target.child.output());
    tally.check('and never panicked', !/panic/.test(target.child.output()), target.child.output().slice(-3000));
  } finally {
    await stub.stop();
  }
  return tally.close();
});
