// The real React SDK (npm `@unleash/proxy-client-react`) in a real Chromium, on a page of another
// origin: preflights, exposed ETags and 304s are what a browser makes of them.
// E2E_TARGET=proxy-original runs it against the Unleash Proxy. CHROMIUM names the browser.

import { createServer } from 'node:http';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import { chromium } from 'playwright-core';

import { eventually, runThenEnd } from '../lib/processes.mjs';
import { Stub } from '../lib/stub.mjs';
import { Tally } from '../lib/tally.mjs';
import { startEdge, startProxy } from '../lib/targets.mjs';
import { FLAGS, PAYLOAD } from './flags.mjs';

const IS_ORIGINAL = process.env.E2E_TARGET === 'proxy-original';
const KEY = 'e2e-client-key';
const BACKEND = '*:development.e2e-backend';
const FRONTEND = '*:development.e2e-frontend';
const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The page as one script, with everything it needs. */
async function bundle() {
  const app = fileURLToPath(new URL('page/app.mjs', import.meta.url));
  const { outputFiles } = await build({
    entryPoints: [app], bundle: true, write: false, format: 'iife', define: { 'process.env.NODE_ENV': '"production"' },
  });
  return outputFiles[0].text;
}

/** Serves one page that is configured by its query: an origin of its own. */
async function servePage(script) {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://page');
    if (pathname === '/app.js') return response.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
    if (pathname !== '/') return response.writeHead(404).end();
    const config = searchParams.get('config').replaceAll('<', '\\u003c');
    return response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
      .end(`<!doctype html><div id="root"></div><script>window.UNLEASH=${config}</script><script src="/app.js"></script>`);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return { url: `http://127.0.0.1:${server.address().port}/`, stop: () => new Promise((resolve) => { server.close(resolve); }) };
}

/** What goes over the wire, preflights included, which pages themselves never see. */
async function record(page) {
  const session = await page.context().newCDPSession(page);
  const seen = new Map();
  const at = (id) => seen.get(id) ?? seen.set(id, {}).get(id);
  session.on('Network.requestWillBeSent', ({ requestId, request, type }) => Object.assign(at(requestId), { url: request.url, method: request.method, type }));
  session.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode, headers }) => Object.assign(at(requestId), { status: statusCode, headers }));
  await session.send('Network.enable');
  return (method, part) => [...seen.values()].filter((each) => each.method === method && each.url?.includes(part) && each.status);
}

async function soon(tally, name, holds) {
  let late = null;
  await eventually(name, holds, { within: 15_000, every: 25 }).catch((err) => { late = err; });
  tally.check(name, late === null, late?.message ?? '');
}

async function checkPage(tally, label, browser, site, stub, { url, clientKey, usePOSTrequests, allowed, statuses }) {
  stub.serve(FLAGS, []);
  await eventually('the first flags are taken', () => stub.isTaken());
  const config = {
    url, clientKey, usePOSTrequests, appName: 'e2e-react', refreshInterval: 0.2, metricsIntervalInitial: 0.3, metricsInterval: 0.5,
    context: { userId: 'user-1', properties: { country: 'NO' } },
  };
  const context = await browser.newContext();
  const page = await context.newPage();
  const asked = await record(page);
  await page.goto(`${site.url}?config=${encodeURIComponent(JSON.stringify(config))}`);
  const shown = async () => JSON.parse(await page.textContent('output'));
  await soon(tally, `${label}: ready`, async () => (await shown()).ready);
  tally.equal(`${label}: what React shows`, await shown(), {
    ready: true, error: null, always: true, never: false, toggled: false, norwegians: true, variant: ['blue', true, PAYLOAD.value],
  });
  await page.evaluate(() => window.travelTo('SE'));
  await soon(tally, `${label}: another context`, async () => !(await shown()).norwegians);
  stub.change('toggled', { enabled: true });
  await soon(tally, `${label}: a change arrives`, async () => (await shown()).toggled);
  const method = usePOSTrequests ? 'POST' : 'GET';
  const polls = () => asked(method, url).filter((each) => !each.url.includes('/client/'));
  await soon(tally, `${label}: an unchanged answer is ${statuses.unchanged}`, () => polls().slice(-2).every(({ status }) => status === statuses.unchanged));
  await soon(tally, `${label}: usage is accepted`, () => asked('POST', '/client/metrics').some(({ status }) => status === statuses.metrics));
  const preflights = asked('OPTIONS', url);
  tally.check(`${label}: the browser asks before it sends`, preflights.length > 0 && preflights.every(({ status }) => status === statuses.preflight),
    JSON.stringify(preflights.map(({ status }) => status)));
  const origins = [...polls(), ...preflights].map(({ headers }) => headers['access-control-allow-origin'] ?? headers['Access-Control-Allow-Origin']);
  tally.check(`${label}: every answer says who may read it`, origins.every((origin) => origin === allowed(site)), JSON.stringify([...new Set(origins)]));
  tally.equal(`${label}: no error`, (await shown()).error, null);
  await context.close();
}

async function checkStranger(tally, browser, site, url) {
  const config = { url, clientKey: KEY, appName: 'e2e-react', refreshInterval: 0.2, disableMetrics: true, context: {} };
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${site.url}?config=${encodeURIComponent(JSON.stringify(config))}`);
  await soon(tally, 'an origin that is not listed reads nothing', async () => JSON.parse(await page.textContent('output')).error !== null);
  tally.equal('an origin that is not listed sees no flag', JSON.parse(await page.textContent('output')).always, false);
  await context.close();
}

await runThenEnd(async () => {
  const tally = new Tally();
  const path = PLACES.find((each) => each && existsSync(each));
  if (!path) throw new Error(`no Chromium at ${PLACES.filter(Boolean).join(', ')}`);
  const [site, stub] = [await servePage(await bundle()), await Stub.start()];
  stub.serve(FLAGS, []);
  const browser = await chromium.launch({ executablePath: path, headless: true, args: ['--no-sandbox'] });
  try {
    for (const listed of [false, true]) {
      const more = listed ? { CORS_ORIGIN: `https://other.example,${site.url.slice(0, -1)}` } : {};
      const proxy = await startProxy(IS_ORIGINAL ? 'original' : 'offleash', {
        upstream: stub.url, token: BACKEND, clientKey: KEY, pollMs: 200, more,
      });
      const allowed = () => (listed ? site.url.slice(0, -1) : '*');
      for (const usePOSTrequests of [false, true]) {
        const label = `React on /proxy by ${usePOSTrequests ? 'POST' : 'GET'}${listed ? ', origins listed' : ''}`;
        const statuses = { unchanged: usePOSTrequests ? 200 : 304, metrics: 200, preflight: 204 };
        await checkPage(tally, label, browser, site, stub, { url: proxy.url, clientKey: KEY, usePOSTrequests, allowed, statuses });
      }
      if (listed) {
        const stranger = await servePage(await bundle());
        await checkStranger(tally, browser, stranger, proxy.url);
        await stranger.stop();
      }
      await proxy.child.stop();
    }
    if (!IS_ORIGINAL) {
      stub.know(BACKEND, 'backend');
      stub.know(FRONTEND, 'frontend');
      const edge = await startEdge('offleash', { upstream: stub.url, tokens: [BACKEND] });
      const statuses = { unchanged: 304, metrics: 202, preflight: 204 };
      for (const usePOSTrequests of [false, true]) {
        await checkPage(tally, `React on /api/frontend by ${usePOSTrequests ? 'POST' : 'GET'}`, browser, site, stub,
          { url: edge.url, clientKey: FRONTEND, usePOSTrequests, allowed: () => '*', statuses });
      }
      await edge.child.stop();
    }
  } finally {
    await browser.close();
  }
  await site.stop();
  await stub.stop();
  return tally.close();
});
