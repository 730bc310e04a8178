// Runs scenarios of loadtest/scenarios with k6 against what they need: a scripted upstream, Offleash,
// for the rolling restart three of it behind a balancer. Everything listens on 127.0.0.1.
//
//   node loadtest/run.mjs mixed             one scenario, as long as it says
//   node loadtest/run.mjs all --short       every scenario, for some seconds
//   node loadtest/run.mjs rolling --behind nginx
//
// RATE, DURATION, P99_MS and what else a scenario reads may be given as variables. `K6` names the k6
// program, by default the one on PATH.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { BALANCERS, startBalancer } from '../e2e/balancer/balancers.mjs';
import { BACKEND, GRACE, TOKENS, portOf, replaceInstance, startInstance, startUpstream, takesPart } from '../e2e/balancer/fleet.mjs';
import { launch, runThenEnd, scratchFolder, sleep } from '../e2e/lib/processes.mjs';
import { Tally } from '../e2e/lib/tally.mjs';
import { makePayload } from './fixtures.mjs';

const FLAGS = 200;
/** What every report of a scenario counts. */
const COUNTED = 'k6-counted';
/** How much memory may grow after the first quarter of a soak. */
const GROWTH_KB = 8 * 1024;
/** Settings a caller may pass on to the scenarios. */
const VARIABLES = ['RATE', 'DURATION', 'P99_MS', 'INTERVAL', 'DROPPED'];
/** A busy machine may be slow for a moment: a short run is about right answers. */
const SHORT = { P99_MS: '500', DROPPED: '50' };

const SCENARIOS = {
  smoke: { short: { RATE: '5', DURATION: '3s' } },
  polling: { short: { RATE: '200', DURATION: '6s', INTERVAL: '1' } },
  'page-load': { short: { RATE: '60', DURATION: '6s' } },
  spike: { short: { RATE: '30', DURATION: '6s' } },
  soak: { short: { RATE: '150', DURATION: '8s' }, during: changeAndWatch },
  mixed: { short: { RATE: '200', DURATION: '6s' } },
  rolling: { short: { RATE: '100', DURATION: '25s' }, instances: 3, during: restartAll },
};

/** One scenario. Its thresholds, and what is checked here besides, are counted. */
async function run(tally, name, { isShort, behind }) {
  const { short, instances = 1, during = async () => {} } = SCENARIOS[name];
  const stub = await startUpstream();
  const { features, segments } = makePayload(FLAGS);
  stub.serve(features, segments);
  // Who is alone has nobody to hand over to.
  const more = instances > 1 ? GRACE : {};
  const fleet = await Promise.all(Array.from({ length: instances }, () => startInstance('edge', stub, { more })));
  const front = instances > 1 ? (await startBalancer(behind, fleet.map(portOf))).url : fleet[0].root;
  const given = Object.fromEntries(VARIABLES.filter((each) => process.env[each]).map((each) => [each, process.env[each]]));
  const settings = { BASE_URL: front, TOKEN: TOKENS.edge, BACKEND_TOKEN: BACKEND, ...(isShort ? { ...SHORT, ...short } : {}), ...given };

  console.log(`\n=== ${name}`);
  const k6 = startK6(name, settings);
  await Promise.all([during({ tally, name, stub, fleet, k6 }), k6.child.ended]);
  console.log(k6.child.output().trim());
  tally.equal(`${name}: k6's thresholds hold (its exit code)`, k6.child.exitCode(), 0);
  await Promise.all(fleet.map(({ child }) => child.stop('SIGTERM')));
  tally.equal(`${name}: instances end well`, fleet.map(({ child }) => child.exitCode()), fleet.map(() => 0));
  tally.equal(`${name}: as much usage arrives upstream as was accepted`, stub.counted(COUNTED), k6.total('usage_accepted'));
  await stub.stop();
}

function startK6(name, settings) {
  const folder = scratchFolder('k6');
  const summary = join(folder, 'summary.json');
  const child = launch('k6', process.env.K6 ?? 'k6', ['run', '--quiet', '--no-color', '--no-usage-report', '--address', '', '--summary-export', summary,
    ...Object.entries(settings).flatMap(([key, value]) => ['-e', `${key}=${value}`]),
    fileURLToPath(new URL(`scenarios/${name}.js`, import.meta.url))], {
    folder, env: { K6_AUTO_EXTENSION_RESOLUTION: 'false', K6_NO_USAGE_REPORT: 'true' },
  });
  return { child, total: (metric) => JSON.parse(readFileSync(summary, 'utf8')).metrics[metric]?.count ?? 0 };
}

/** While a soak goes on: upstream's flags change every two seconds, and memory is looked at. */
async function changeAndWatch({ tally, name, stub, fleet: [instance], k6 }) {
  const resident = [];
  const { features, segments } = makePayload(FLAGS);
  for (let turn = 1; !k6.child.exited(); turn += 1) {
    await sleep(1000);
    resident.push(residentKb(instance.child.pid));
    // A flag that everybody has comes and goes.
    if (turn % 2 === 0) stub.serve(features.map((flag, at) => (at === 0 ? { ...flag, enabled: turn % 4 === 0 } : flag)), segments);
  }
  const early = resident[Math.floor(resident.length / 4)];
  const growth = resident.at(-1) - early;
  console.log(`resident memory: ${early} KiB after a quarter, ${resident.at(-1)} KiB at the end`);
  tally.check(`${name}: memory does not grow`, growth <= GROWTH_KB, `${growth} KiB in the last three quarters`);
}

const residentKb = (pid) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

/** Replaces every instance, one after another, and is done before the load ends. */
async function restartAll({ tally, name, stub, fleet, k6 }) {
  for (const [at, instance] of fleet.entries()) {
    await takesPart(instance);
    const { next, code } = await replaceInstance('edge', stub, instance, { more: GRACE });
    fleet[at] = next;
    tally.equal(`${name}: instance ${at + 1} ends well`, code, 0);
    await takesPart(next);
    console.log(`instance ${at + 1} was replaced`);
  }
  tally.check(`${name}: restarts happen under load`, !k6.child.exited(), 'k6 had ended before the last one');
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean', default: false }, behind: { type: 'string', default: BALANCERS[0] } },
});
const names = positionals.includes('all') ? Object.keys(SCENARIOS) : positionals;
if (names.length === 0 || !names.every((name) => name in SCENARIOS) || !BALANCERS.includes(values.behind)) {
  console.error(`usage: run.mjs all|${Object.keys(SCENARIOS).join('|')} [--short] [--behind ${BALANCERS.join('|')}]`);
  process.exit(64);
}

await runThenEnd(async () => {
  const tally = new Tally();
  for (const name of names) await run(tally, name, { isShort: values.short, behind: values.behind });
  return tally.close();
});
