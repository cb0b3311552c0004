import assert from "node:assert/strict";
import { VirtualWorld } from "../service/world/virtual_world.ts";
import { MemoryTrim } from "./memory_trim.ts";

/** Programs that note when which signal came. */
function scripted(world: VirtualWorld, count: number) {
  const came: (readonly [program: number, signal: Deno.Signal, atMs: number])[] = [];
  const programs = Array.from({ length: count }, (_, program) => ({
    signal: (signal: Deno.Signal) => void came.push([program, signal, world.monotonicMs()]),
  }));
  return { came, programs };
}

Deno.test("MemoryTrim asks each program once a period, evenly, until it is disposed", async () => {
  const world = new VirtualWorld({ seed: 1 });
  const { came, programs } = scripted(world, 3);
  const beganMs = world.monotonicMs();
  const trim = new MemoryTrim({ programs, world, periodMs: 30_000, enabled: true });
  await world.advance(50_000);
  assert.deepEqual(
    came.map(([program, signal, atMs]) => [program, signal, atMs - beganMs]),
    [10_000, 20_000, 30_000, 40_000, 50_000].map((atMs, i) => [i % 3, "SIGUSR2", atMs]),
  );
  trim[Symbol.dispose]();
  await world.advance(60_000);
  assert.equal(came.length, 5);
});

Deno.test("MemoryTrim asks nobody where the signal would end who gets it, nor where nobody is", async () => {
  const world = new VirtualWorld({ seed: 1 });
  const { came, programs } = scripted(world, 2);
  using _elsewhere = new MemoryTrim({ programs, world, enabled: false });
  using _nobody = new MemoryTrim({ programs: [], world, enabled: true });
  await world.advance(120_000);
  assert.deepEqual(came, []);
});
