import assert from "node:assert/strict";
import fc from "fast-check";
import { cell, detailAt, fitView, StageLayout, zoomView } from "./stage_layout.ts";

Deno.test("sprites of one name stand together, nobody on anybody, all within the bounds", () => {
  const names = fc.constantFrom("a", "b", "c", "d");
  fc.assert(
    fc.property(
      fc.array(names, { maxLength: 120 }),
      fc.double({ min: 0.4, max: 3, noNaN: true }),
      (all, aspect) => {
        const layout = new StageLayout();
        layout.setAspect(aspect);
        all.forEach((name, number) => layout.add(number, name));
        const { width, height } = layout.bounds;
        const seen = new Set<string>();
        all.forEach((name, number) => {
          const place = layout.placeOf(number, name)!;
          assert.ok(place.x >= 0 && place.x <= width && place.y >= 0 && place.y <= height);
          const key = `${Math.round(place.x)},${Math.round(place.y)}`;
          assert.ok(!seen.has(key), "two stand at one place");
          seen.add(key);
          const field = layout.fields.find((one) => one.name === name)!;
          assert.ok(place.x > field.x && place.x < field.x + field.width);
          assert.ok(place.y > field.y && place.y < field.y + field.height);
        });
      },
    ),
  );
});

Deno.test("a sprite keeps its place while others of its name come and go, and a free one is used again", () => {
  const layout = new StageLayout();
  for (let number = 0; number < 16; number++) layout.add(number, "a");
  const before = layout.placeOf(7, "a");
  const freed = layout.placeOf(3, "a");
  layout.remove(3, "a");
  assert.deepEqual(layout.placeOf(7, "a"), before);
  layout.add(99, "a");
  assert.deepEqual(layout.placeOf(99, "a"), freed);
  assert.deepEqual(layout.placeOf(7, "a"), before);
});

Deno.test("when most have left, those that stay move together", () => {
  const layout = new StageLayout();
  for (let number = 0; number < 300; number++) layout.add(number, "a");
  const before = layout.bounds;
  for (let number = 0; number < 290; number++) layout.remove(number, "a");
  assert.ok(layout.bounds.height < before.height / 2);
  assert.equal(layout.fields[0]!.count, 10);
  assert.equal(layout.placeOf(0, "a"), undefined);
  for (let number = 290; number < 300; number++) layout.remove(number, "a");
  assert.deepEqual(layout.fields, []);
});

Deno.test("the view that fits shows all; zooming keeps the point under the pointer", () => {
  const room = { width: 800, height: 600 };
  const bounds = { width: 10_000, height: 2_000 };
  const view = fitView(bounds, room);
  assert.ok(bounds.width * view.scale <= room.width && bounds.height * view.scale <= room.height);
  const at = { x: 100, y: 500 };
  const stageX = (v: typeof view) => v.x + (at.x - room.width / 2) / v.scale;
  const zoomed = zoomView(view, 3, at, room);
  assert.ok(Math.abs(stageX(zoomed) - stageX(view)) < 1e-6);
  assert.ok(zoomed.scale > view.scale * 2.9);
});

Deno.test("the fewer pixels a sprite has, the less is drawn of it", () => {
  assert.equal(detailAt(1, 5), "sprites");
  assert.equal(detailAt(0.1, 1_500), "dots");
  assert.equal(detailAt(4 / cell.width, 10_000), "density");
});
