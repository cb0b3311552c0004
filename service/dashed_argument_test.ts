import assert from "node:assert/strict";
import { commandLine, flag } from "./command_line.ts";
import { mayBeginWithDash } from "./dashed_argument.ts";
import { testWith } from "./testing/permissions.ts";

const id = "-Zc0n3V5u8Qk2rT7wYx1aBdEfGhIjKlMnOpQrStUvW-";
const doubly = id.replace("-Z", "--");

/** What a command with an id and a flag makes of its arguments, or why it refuses them. */
async function parsed(...args: string[]): Promise<string> {
  let result = "";
  const root = commandLine({ name: "test", summary: "Tests.", examples: [] })
    .addOption(flag("--folder <path>", "where"));
  const retire = root.command("retire").argument("<kid>", "the key's id")
    .addOption(flag("--reason <text>", "why"))
    .action((kid, { reason }, command) => {
      const { folder } = command.optsWithGlobals() as { folder?: string };
      result = [kid, reason, folder].join(" ");
    });
  mayBeginWithDash(retire, /^[\w-]{43}$/);
  for (const command of [root, retire]) {
    command.exitOverride().configureOutput({ writeErr: () => {} });
  }
  try {
    await root.parseAsync(args, { from: "user" });
    return result;
  } catch (error) {
    return (error as Error).message;
  }
}

testWith(
  ["env"],
  "mayBeginWithDash() takes an id for the argument, wherever the flags are",
  async () => {
    for (const kid of [id, doubly, "Z".repeat(43)]) {
      assert.equal(await parsed("retire", kid), `${kid}  `);
      assert.equal(await parsed("retire", "--", kid), `${kid}  `);
      assert.equal(await parsed("retire", kid, "--reason", "x", "--folder", "f"), `${kid} x f`);
      assert.equal(await parsed("retire", "--folder", "f", "--reason", "x", kid), `${kid} x f`);
      assert.equal(await parsed("--folder", "f", "retire", kid), `${kid}  f`);
    }
  },
);

testWith(["env"], "mayBeginWithDash() leaves the mistakes what they were", async () => {
  assert.match(await parsed("retire"), /missing required argument 'kid'/);
  assert.match(await parsed("retire", "--unknown"), /unknown option '--unknown'/);
  assert.match(await parsed("retire", id, "--unknown"), /unknown option/);
  assert.match(await parsed("retire", id.slice(0, -1)), /unknown option/);
  assert.match(await parsed("retire", id, "more"), /too many arguments/);
});
