// The flags that every SDK is asked about, and how to make others.

export const rollout = (percentage, more = {}) => ({
  name: 'flexibleRollout',
  parameters: { rollout: String(percentage), stickiness: 'default', groupId: 'e2e' },
  constraints: [], variants: [], ...more,
});

export const flag = (name, enabled, strategies, more = {}) => ({
  name, type: 'release', project: 'default', enabled, stale: false, impressionData: false, strategies, variants: [], ...more,
});

const country = (values) => ({ contextName: 'country', operator: 'IN', values, inverted: false, caseInsensitive: false });

export const PAYLOAD = { type: 'json', value: '{"colour":"blå","list":[1,2]}' };

export const FLAGS = [
  flag('always', true, [{ name: 'default', parameters: {}, constraints: [] }]),
  flag('never', false, [{ name: 'default', parameters: {}, constraints: [] }]),
  flag('toggled', false, [{ name: 'default', parameters: {}, constraints: [] }]),
  flag('norwegians', true, [rollout(100, { constraints: [country(['NO'])] })]),
  flag('with-variant', true, [rollout(100, {
    variants: [{ name: 'blue', weight: 1000, weightType: 'fix', stickiness: 'default', payload: PAYLOAD }],
  })], { impressionData: true }),
];

/** A flag that only a segment decides: who gets definitions without segments finds it off. */
export const SEGMENT = { id: 7, name: 'nordics', constraints: [country(['NO', 'SE'])] };
export const SEGMENTED = flag('nordics', true, [rollout(100, { segments: [SEGMENT.id] })]);
