import assert from "node:assert/strict";
import {
  assignLooks,
  serviceColor,
  serviceColors,
  serviceLook,
  serviceShapes,
} from "./service_look.ts";

Deno.test("serviceLook() is the same each time and of the palette", () => {
  for (const name of ["orb-server", "checkout", "", "__proto__", "☃", "a".repeat(10_000)]) {
    const look = serviceLook(name);
    assert.deepEqual(serviceLook(name), look);
    assert.ok(Number.isInteger(look.color) && look.color >= 0 && look.color < serviceColors, name);
    assert.ok(serviceShapes.includes(look.shape), name);
  }
});

Deno.test("serviceLook() is fixed for a name for good: pages of other days show the same", () => {
  // A change here repaints everybody's services: it must be meant.
  assert.deepEqual(serviceLook("checkout"), { color: 6, shape: "triangle" });
  assert.deepEqual(serviceLook("orb-server"), { color: 0, shape: "square" });
});

Deno.test("serviceLook() distinguishes Orrery's own programs, all of them", () => {
  const names = "orb-client orb-server signer-api signer-service observer pingpong-client " +
    "pingpong-server simulator console";
  const looks = names.split(" ").map((name) => JSON.stringify(serviceLook(name)));
  assert.equal(new Set(looks).size, looks.length);
});

Deno.test("serviceLook() spreads names over all colours and shapes", () => {
  const colors = new Map<number, number>();
  const shapes = new Set<string>();
  for (let i = 0; i < 700; i++) {
    const look = serviceLook(`service-${i}`);
    colors.set(look.color, (colors.get(look.color) ?? 0) + 1);
    shapes.add(look.shape);
  }
  assert.equal(shapes.size, serviceShapes.length);
  assert.equal(colors.size, serviceColors);
  // An even spread is 100 a colour; half or twice that would be a poor hash.
  for (const count of colors.values()) assert.ok(count > 50 && count < 200, `${count}`);
});

Deno.test("assignLooks() gives few services a colour each, more of them a mark each, and the first its own", () => {
  for (let round = 0; round < 40; round++) {
    const names = Array.from(
      { length: serviceColors * serviceShapes.length },
      (_, i) => `round-${round}-service-${i}`,
    );
    const looks = [...assignLooks(names).values()];
    assert.deepEqual(looks[0], serviceLook(names[0]!));
    const few = looks.slice(0, serviceColors).map(({ color }) => color);
    assert.equal(new Set(few).size, serviceColors, `round ${round}`);
    assert.equal(new Set(looks.map((look) => JSON.stringify(look))).size, names.length);
    // Who was there keeps its look when others come.
    assert.deepEqual([...assignLooks(names.slice(0, 5)).values()], looks.slice(0, 5));
  }
  assert.deepEqual(assignLooks(["orb-server"]).get("orb-server"), serviceLook("orb-server"));
  assert.equal(assignLooks(Array.from({ length: 40 }, (_, i) => `s${i}`)).size, 40);
});

Deno.test("serviceColor() names a variable of the stylesheet", () => {
  assert.equal(serviceColor("orb-server"), "var(--service-0)");
});
