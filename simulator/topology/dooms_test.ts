import assert from "node:assert/strict";
import { type Doomed, Dooms } from "./dooms.ts";

function newProcess(): { -readonly [K in keyof Doomed]: Doomed[K] } {
  return { life: 0, doom: "none" };
}

Deno.test("of several crashes that are to come the first decides, and none takes back another's", () => {
  const dooms = new Dooms();
  const [process, other] = [newProcess(), newProcess()];
  const first = dooms.doom(process, "before-commit");
  const second = dooms.doom(process, "after-commit");
  assert.equal(process.doom, "before-commit");
  assert.equal(other.doom, "none");
  first();
  assert.equal(process.doom, "after-commit");
  first();
  assert.equal(process.doom, "after-commit", "it is taken back once");
  second();
  assert.equal(process.doom, "none");
});

Deno.test("a crash ends all that were to come: what is taken back later is of another life", () => {
  const dooms = new Dooms();
  const process = newProcess();
  const first = dooms.doom(process, "before-commit");
  const second = dooms.doom(process, "after-commit");
  process.life++;
  process.doom = "none";
  second();
  assert.equal(process.doom, "none");
  dooms.doom(process, "after-commit");
  first();
  assert.equal(process.doom, "after-commit");
});
