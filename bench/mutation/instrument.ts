/**
 * Puts all mistakes into a file at once, each behind a switch, by StrykerJS's instrumenter: by the syntax
 * tree, so that none lands in a comment or a type. A program of its own, run without the project's
 * configuration, so that the instrumenter is no dependency of the project.
 *
 * Takes the file's text on stdin and its name as argument, and writes {@linkcode Instrumented} to stdout.
 *
 * @module
 */

/** A file with all its mistakes, each switched on by `globalThis.__stryker__.activeMutant = id`. */
export interface Instrumented {
  text: string;
  mutants: readonly Mutant[];
}

/** A mistake. */
export interface Mutant {
  id: string;
  mutatorName: string;
  replacement: string;
  /** Counted from 0. */
  location: { start: { line: number; column: number }; end: { line: number; column: number } };
  /** Says why, where it is not to be tried. */
  status?: string;
}

/** What is used of the instrumenter. */
interface Instrumenter {
  instrument(
    files: readonly { name: string; content: string; mutate: boolean }[],
    options: Readonly<Record<string, unknown>>,
  ): Promise<{ files: readonly { content: string }[]; mutants: readonly Mutant[] }>;
}

interface Injector {
  provideValue(name: string, value: unknown): Injector;
  injectFunction(make: unknown): Instrumenter;
}

if (import.meta.main) {
  const [name = "", stryker = "", injector = ""] = Deno.args;
  const content = await new Response(Deno.stdin.readable).text();
  // Not written out, so that nothing else takes them for imports of the project.
  const { createInstrumenter } = await import(stryker) as { createInstrumenter: unknown };
  const { createInjector } = await import(injector) as { createInjector(): Injector };
  const isOff = () => false;
  const quiet = new Proxy({}, {
    get: (_, method) => String(method).startsWith("is") ? isOff : () => {},
  });
  const instrumenter = createInjector().provideValue("logger", quiet)
    .injectFunction(createInstrumenter);
  const { files, mutants } = await instrumenter.instrument(
    [{ name, content, mutate: true }],
    { ignorers: [], excludedMutations: [], plugins: null, noHeader: false },
  );
  const instrumented: Instrumented = { text: files[0]!.content, mutants };
  const bytes = new TextEncoder().encode(JSON.stringify(instrumented));
  await new Response(bytes).body!.pipeTo(Deno.stdout.writable);
}
