// Contexts of many kinds, the same in every run.
//
// All name an `appName` and an `environment`: what stands in for absent ones is a default of each
// server, not of evaluation (exceptions.mjs has those).

import { Dice } from '../lib/random.mjs';

const ADDRESSES = ['10.1.2.3', '10.2.0.1', '192.168.7.9', '203.0.113.50', '203.0.113.51', '127.0.0.1', '2001:db8::7'];
const COUNTRIES = ['NO', 'SE', 'DE', 'FR', 'BR', 'no', 'São Paulo', 'a&b=c', '100%+'];
const PLANS = ['free', 'pro', 'enterprise', 'Pro'];
const EMAILS = ['ann.berg@example.com', 'Bob@EXAMPLE.COM', 'cy+tag@example.org', 'test@test.test', 'ANN@x.y', 'dora@Example.com'];
const AGES = ['17', '18', '18.0', '18.5', '19', '-3', '0', '40', '40.0001', '99'];
const VERSIONS = ['1.2.3', '1.2.4', '1.2.3-beta.1', '1.2.3-beta.11', '1.10.0', '2.0.0', '3.0.0-rc.1', '1.2.3+build.5'];

export function makeContexts(count, seed) {
  const dice = new Dice(seed);
  return Array.from({ length: count }, (_, n) => makeContext(dice, n));
}

function makeContext(dice, n) {
  const context = { appName: dice.of(['web', 'ios', 'android']), environment: dice.of(['default', 'development', 'production']) };
  // In turn: a user with a session, a user, a session, nobody.
  if (n % 4 < 2) context.userId = dice.chance(0.2) ? String(dice.below(1000)) : `user-${dice.below(200)}`;
  if (n % 4 === 0 || n % 4 === 2) context.sessionId = `session-${dice.below(1_000_000)}`;
  if (dice.chance(0.8)) context.remoteAddress = dice.of(ADDRESSES);
  const properties = {};
  const maybe = (name, values, share = 0.8) => {
    if (dice.chance(share)) properties[name] = dice.of(values);
  };
  maybe('country', COUNTRIES);
  maybe('plan', PLANS);
  maybe('email', EMAILS);
  maybe('age', AGES);
  maybe('version', VERSIONS);
  if (dice.chance(0.7)) properties.companyId = `company-${dice.below(50)}`;
  if (dice.chance(0.1)) properties[`unused ${dice.below(9)}`] = 'value & more';
  if (Object.keys(properties).length > 0) context.properties = properties;
  return context;
}
