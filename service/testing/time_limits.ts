/**
 * For tests: no test waits without a limit. The tasks of `deno.json` load this before each test file
 * (`--preload`); what is not done by then fails by its name, and the next test goes on.
 *
 * A test that may take longer says so itself: `Deno.test({ name, timeout: 1_800_000, fn })`.
 *
 * @module
 */
import { definitionOf } from "./test_definition.ts";

/** By the name of the file, as in CONTRIBUTING.md: far longer than they take on a busy machine. */
const limitsMs: readonly (readonly [file: RegExp, limitMs: number])[] = [
  // They start programs and pages, whose cases are steps of one test, and may build what they start.
  [/(_program|_page|faults|_stack)_test\.tsx?$/, 900_000],
  [/./, 300_000],
];

type TestFunction = Deno.TestDefinition["fn"];
type Hook = () => void | Promise<void>;

/** `Deno.test` as it was. */
const original = Deno.test;

/** How `Deno.test.each` tells where a test stands, which is otherwise where `Deno.test` is called. */
const locationKey = Symbol.for("Deno.test.location");

/** Of these a test has its function, not its place. */
const helpers = /\/(service\/testing\/\w+(?<!_test)|test_\w+)\.tsx?[?:]|^ext:/;

function limitMs(): number {
  return limitsMs.find(([file]) => file.test(Deno.mainModule))![1];
}

/** `file:///…/a_test.ts:7:6`: who calls, past the helpers that declare tests for others. */
function callSite(): string | undefined {
  const frames = new Error().stack?.split("\n").slice(1) ?? [];
  return frames.map((frame) => /(?:file|ext):.+:\d+:\d+/.exec(frame)?.[0])
    .find((where) => where !== undefined && !helpers.test(where));
}

function limited(definition: Deno.TestDefinition): Deno.TestDefinition {
  const { fn } = definition;
  const located: TestFunction = (t) => fn(t);
  Object.assign(located, { [locationKey]: callSite() });
  return { ...definition, timeout: definition.timeout ?? limitMs(), fn: located };
}

/** Hooks have no limit of their own in Deno. */
function limitedHook(register: (hook: Hook) => void, kind: string): (hook: Hook) => void {
  return (hook) =>
    register(async () => {
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(
        () => late.reject(new Error(`${kind} was not done within ${limitMs()} ms`)),
        limitMs(),
      );
      try {
        await Promise.race([hook(), late.promise]);
      } finally {
        clearTimeout(timer);
      }
    });
}

const test = (...args: readonly unknown[]) => original(limited(definitionOf(...args)));
Object.assign(test, original, {
  ignore: (...args: readonly unknown[]) => original.ignore(limited(definitionOf(...args))),
  only: (...args: readonly unknown[]) => original.only(limited(definitionOf(...args))),
  beforeAll: limitedHook(original.beforeAll, "beforeAll()"),
  beforeEach: limitedHook(original.beforeEach, "beforeEach()"),
  afterEach: limitedHook(original.afterEach, "afterEach()"),
  afterAll: limitedHook(original.afterAll, "afterAll()"),
});
Object.defineProperty(Deno, "test", { value: test });
