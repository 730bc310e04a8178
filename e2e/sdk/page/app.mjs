// The page that the browser opens: what the React SDK says, as text that a test can read.

import { createElement as element } from 'react';
import { createRoot } from 'react-dom/client';
import { FlagProvider, useFlag, useFlagsStatus, useUnleashContext, useVariant } from '@unleash/proxy-client-react';

function Shown() {
  const { flagsReady, flagsError } = useFlagsStatus();
  const changeContext = useUnleashContext();
  const { name, enabled, payload } = useVariant('with-variant');
  const shown = {
    ready: flagsReady,
    error: flagsError ? String(flagsError.type ?? flagsError) : null,
    always: useFlag('always'),
    never: useFlag('never'),
    toggled: useFlag('toggled'),
    norwegians: useFlag('norwegians'),
    variant: [name, enabled, payload?.value ?? null],
  };
  window.travelTo = (country) => changeContext({ userId: 'user-1', properties: { country } });
  return element('output', null, JSON.stringify(shown));
}

createRoot(document.getElementById('root')).render(
  element(FlagProvider, { config: window.UNLEASH }, element(Shown)),
);
