import assert from "node:assert/strict";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { inOrder } from "./dns.ts";

const record = (target: string, priority: number, weight: number) => ({
  target,
  port: 4433,
  priority,
  weight,
});

Deno.test("inOrder() goes by priority, and within one by chance in proportion to the weights", () => {
  const world = new VirtualWorld({ seed: 3 });
  const records = [
    record("late", 10, 99),
    record("small", 0, 1),
    record("large", 0, 3),
    record("none", 0, 0),
  ];
  const first = new Map<string, number>();
  for (let draw = 0; draw < 4_000; draw++) {
    const ordered = inOrder(records, world).map(({ target }) => target);
    assert.equal(ordered.length, 4);
    assert.equal(ordered[3], "late");
    first.set(ordered[0]!, (first.get(ordered[0]!) ?? 0) + 1);
  }
  const [small, large, none] = ["small", "large", "none"].map((name) => first.get(name) ?? 0);
  // Of a number from 0 to 4, as RFC 2782 draws it: 0 is for who has no weight.
  assert.ok(Math.abs(none! - 800) < 120 && Math.abs(small! - 800) < 120, `${none}, ${small}`);
  assert.ok(Math.abs(large! - 2_400) < 150, `${large}`);
});
