import assert from "node:assert/strict";
import { createRun } from "../engine.ts";
import { exportLog } from "./exports.ts";
import { shivizExpression } from "./space_time_log.ts";

const { entries } = createRun({ seed: 7, given: { orders: 3 } });

Deno.test("a space-time log has for each event its host and a clock that grows by one on it", () => {
  const text = exportLog(entries, "shiviz");
  const own = new Map<string, number>();
  const known = new Map<string, Record<string, number>>();
  let count = 0;
  for (const { groups } of text.matchAll(new RegExp(shivizExpression, "g"))) {
    const { host, clock } = groups as { host: string; clock: string };
    const times = JSON.parse(clock) as Record<string, number>;
    assert.equal(times[host], (own.get(host) ?? 0) + 1);
    own.set(host, times[host]!);
    // Nobody forgets what it has known, nor knows what has not happened.
    for (const [part, time] of Object.entries(known.get(host) ?? {})) {
      assert.ok(times[part]! >= time);
    }
    for (const [part, time] of Object.entries(times)) assert.ok(time <= own.get(part)!);
    known.set(host, times);
    count++;
  }
  assert.equal(count, entries.length);
  const place = entries.findIndex(({ kind, detail }) =>
    kind === "effect" && detail === "confirmation"
  );
  assert.ok(
    Object.keys(JSON.parse(text.split("\n")[2 * place]!.split(" ").slice(1).join(" "))).length > 4,
  );
});

Deno.test("a sequence diagram has each part once, and an arrow from publisher to receiver", () => {
  const lines = exportLog(entries, "mermaid").trimEnd().split("\n");
  assert.equal(lines[0], "sequenceDiagram");
  const names = new Map(
    lines.flatMap((line) => {
      const [, name, part] = /^ {2}participant (p\d+) as (\S+)$/.exec(line) ?? [];
      return name === undefined ? [] : [[part!, name] as const];
    }),
  );
  assert.deepEqual([...names.keys()].sort(), [...new Set(entries.map(({ part }) => part))].sort());
  for (const line of lines.slice(names.size + 1)) {
    assert.match(line, /^ {2}(Note over p\d+|p\d+->>p\d+): \d+\.\d{3} s [^;#]+$/);
  }
  const deliver = entries.find(({ kind }) => kind === "deliver")!;
  const publish = entries.findLast(({ kind, subject, atUs }) =>
    kind === "publish" && subject === deliver.subject && atUs <= deliver.atUs
  )!;
  const arrow = `${names.get(publish.part)}->>${names.get(deliver.part)}: `;
  assert.ok(
    lines.some((line) => line.includes(arrow) && line.includes(`deliver ${deliver.subject}`)),
  );
});

Deno.test("a diagram in SVG has a dot for each event, and escapes what is said of it", () => {
  const text = exportLog(entries, "svg");
  assert.equal(text.match(/<circle /g)!.length, entries.length);
  assert.match(text, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 \d+ \d+"/);
  const odd = [{ ...entries[0]!, detail: "<b>&" }];
  assert.match(exportLog(odd, "svg"), /&lt;b&gt;&amp;/);
});
