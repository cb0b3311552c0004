// That the programs take what their containers give them.

import assert from "node:assert/strict";
import { programNamed } from "../programs.ts";
import { testWith } from "../service/testing/permissions.ts";
import { compose, root } from "./compose_file.ts";
import { entrypoint, programStages, variables } from "./test_compose.ts";

testWith(["read", "run"], "programs know the flags that containers give them", async () => {
  const { services } = await compose();
  for (const [name, stage] of await programStages()) {
    const help = await helpOf(name, entrypoint(stage));
    const command = services[name]?.command ?? [];
    for (const flag of command.filter((word) => word.startsWith("--"))) {
      const bare = flag.split("=")[0]!;
      assert.match(
        help,
        new RegExp(`^  (-\\w, )?${bare}[ \\n]`, "m"),
        `${name} does not know ${bare}`,
      );
    }
  }
});

testWith(["read", "run"], "programs read the variables that containers give them", async () => {
  const { services } = await compose();
  for (const [name, stage] of await programStages()) {
    const help = await helpOf(name, entrypoint(stage));
    const given = { ...variables(stage), ...services[name]?.environment };
    for (const variable of Object.keys(given)) {
      if (variable.startsWith("OTEL_")) continue;
      assert.match(help, new RegExp(`env:\\s+${variable}\\)`), `${name} has no ${variable}`);
    }
  }
});

/** What programs print for --help with the permissions that their containers give them. */
const helps = new Map<string, Promise<string>>();

function helpOf(name: string, command: readonly string[]): Promise<string> {
  const help = helps.get(name) ?? printHelp(name, command);
  helps.set(name, help);
  return help;
}

async function printHelp(name: string, command: readonly string[]): Promise<string> {
  const output = await new Deno.Command("deno", {
    args: ["run", "--no-prompt"].concat(
      command.filter((word) => /^--(allow-|ignore-env$)/.test(word)),
      programNamed(name).entry,
      "--help",
    ),
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  assert.ok(output.success, new TextDecoder().decode(output.stderr));
  return new TextDecoder().decode(output.stdout);
}
