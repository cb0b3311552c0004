import assert from "node:assert/strict";
import {
  afterReport,
  commandLifeMs,
  maxCommands,
  openCommands,
  withCommand,
} from "./device_commands.ts";
import type { Command } from "./device_status.ts";

const reset = { type: "reset" } as const;

function given(count: number): readonly Command[] {
  let commands: readonly Command[] = [];
  for (let index = 0; index < count; index++) {
    commands = withCommand(commands, reset, { id: `${index}`, nowMs: 1_000 + index })!;
  }
  return commands;
}

Deno.test("a command is delivered again until a report says what became of it", () => {
  let commands = given(2);
  for (let report = 0; report < 3; report++) {
    commands = afterReport(commands, [], 2_000);
    assert.deepEqual(openCommands(commands).map(({ id, state }) => [id, state]), [
      ["0", "delivered"],
      ["1", "delivered"],
    ]);
  }
  commands = afterReport(commands, [{ id: "0", outcome: "failed", detail: "no light" }], 3_000);
  assert.deepEqual(openCommands(commands).map(({ id }) => id), ["1"]);
  assert.equal(commands[0]!.state, "failed");
  assert.equal(commands[0]!.detail, "no light");
  assert.equal(commands[0]!.updatedAt, new Date(3_000).toISOString());
});

Deno.test("a result that comes again, or of an unknown command, changes nothing", () => {
  const done = afterReport(given(1), [{ id: "0", outcome: "done" }], 2_000);
  const results = [{ id: "0", outcome: "failed" }, { id: "x", outcome: "done" }] as const;
  assert.deepEqual(afterReport(done, results, 3_000), done);
});

Deno.test("a command that nobody carries out expires", () => {
  const later = afterReport(given(1), [], 1_000 + commandLifeMs);
  assert.equal(later[0]!.state, "expired");
  assert.deepEqual(openCommands(later), []);
});

Deno.test("commands are bounded: what came to an end makes room, what is open does not", () => {
  const full = given(maxCommands);
  assert.equal(withCommand(full, reset, { id: "more", nowMs: 2_000 }), undefined);
  const done = afterReport(full, [{ id: "3", outcome: "done" }], 2_000);
  const more = withCommand(done, reset, { id: "more", nowMs: 2_000 })!;
  assert.equal(more.length, maxCommands);
  assert.ok(!more.some(({ id }) => id === "3"));
});
