// What was checked, what came out, and the closing line.

import { isDeepStrictEqual } from 'node:util';

const SHOWN_FAILURES = 25;

export class Tally {
  passed = 0;
  failed = 0;

  /** Counts one check; `detail` (text or a function) is shown when it failed. */
  check(name, holds, detail = '') {
    if (holds) {
      this.passed += 1;
      return true;
    }
    this.failed += 1;
    if (this.failed <= SHOWN_FAILURES) {
      console.log(`  FAIL ${name}\n       ${typeof detail === 'function' ? detail() : detail}`);
    } else if (this.failed === SHOWN_FAILURES + 1) {
      console.log('  (further failures are counted, not shown)');
    }
    return false;
  }

  equal(name, actual, expected) {
    return this.check(name, isDeepStrictEqual(actual, expected), () =>
      `got ${JSON.stringify(actual)}\n       not ${JSON.stringify(expected)}`);
  }

  /** Prints the closing line; the exit code of the run. */
  close() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    return this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}
