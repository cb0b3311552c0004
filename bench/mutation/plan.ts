/**
 * What `deno task mutate` and the process that runs the tests tell each other.
 *
 * @module
 */

/** What a process is to do; a file that is named on its command line. */
export interface Plan {
  /** The test files to load, in this order. */
  files: readonly string[];
  /** Where it writes its {@linkcode Report}s, one JSON line each. */
  reports: string;
  /** The mutants to try, one after the other; absent: all tests once without any, for what they cover. */
  mutants?: readonly PlannedMutant[];
  /** What each test may take, in milliseconds, by its number. */
  limitsMs?: readonly number[];
}

/** A mutant and the tests that may notice it. */
export interface PlannedMutant {
  id: string;
  /** Numbers of tests, in the order in which they are declared; absent: all. */
  tests?: readonly number[];
  /** It may be met this often, then it loops. */
  maxHits: number;
}

/** How often each mutant was met. */
export type Coverage = Readonly<Record<string, number>>;

/** What a process reports. */
export type Report =
  /** A test has ended where no mutant was; `failure` is what went wrong. */
  | { of: "test"; file: string; name: string; tookMs: number; failure?: string | undefined }
  /** All have; `loading` is what was met before the first. */
  | { of: "coverage"; loading: Coverage; tests: Readonly<Record<string, Coverage>> }
  | { of: "begin"; id: string }
  /** A test begins: the process is alive. */
  | { of: "alive" }
  /** `killedBy` is a test's name; absent: none has noticed. `isLate`: the test was not done in time. */
  | { of: "end"; id: string; killedBy?: string | undefined; isLate?: boolean }
  /** All tests without a mutant after some with: whether what these left behind has broken anything. */
  | { of: "clean"; failure?: string | undefined };
