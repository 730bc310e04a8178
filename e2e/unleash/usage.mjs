// What frontends count must arrive at the real server.

import { eventually } from '../lib/processes.mjs';

/** Posts a frontend's usage counts and waits until the server's admin API shows them. */
export async function checkUsage(tally, { dialect, unleash, environment, target, accepts, flag }) {
  const appName = `e2e-app-${dialect}`;
  const now = Date.now();
  const bucket = {
    start: new Date(now - 1000).toISOString(),
    stop: new Date(now).toISOString(),
    toggles: { [flag]: { yes: 7, no: 3, variants: { disabled: 7 } } },
  };
  const response = await fetch(`${target.url}/client/metrics`, {
    method: 'POST',
    headers: { authorization: target.token, 'content-type': 'application/json' },
    body: JSON.stringify({ appName, instanceId: 'browser', environment, bucket }),
  });
  tally.equal(`${dialect}: usage counts are accepted`, response.status, accepts);
  const arrived = async () => {
    const { data } = await unleash.admin('GET', `client-metrics/features/${flag}/raw`);
    const ours = data.filter((row) => row.environment === environment && target.appNames(appName).includes(row.appName));
    const sum = (field) => ours.reduce((total, row) => total + row[field], 0);
    return sum('yes') === 7 && sum('no') === 3;
  };
  let seen = true;
  try {
    await eventually('usage counts reach the server', arrived, { within: 20_000, every: 250 });
  } catch {
    seen = false;
  }
  const rows = seen ? '' : JSON.stringify((await unleash.admin('GET', `client-metrics/features/${flag}/raw`)).data);
  tally.check(`${dialect}: usage counts reach the server`, seen, `the server knows ${rows}`);
}
