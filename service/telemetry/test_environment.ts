/**
 * For tests: variables of the environment, as they are for the time of a test.
 *
 * @module
 */

/** Runs with these variables of the environment, and none other of OpenTelemetry; then all is as before. */
export async function withVariables(
  variables: Readonly<Record<string, string>>,
  run: () => void | Promise<void>,
): Promise<void> {
  const before = Deno.env.toObject();
  for (const name of Object.keys(before)) if (name.startsWith("OTEL_")) Deno.env.delete(name);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  try {
    await run();
  } finally {
    for (const name of Object.keys(variables)) Deno.env.delete(name);
    for (const [name, value] of Object.entries(before)) {
      if (name.startsWith("OTEL_")) Deno.env.set(name, value);
    }
  }
}
