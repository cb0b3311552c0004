import assert from "node:assert/strict";
import { openTerm, searchProblem } from "./complete_search.ts";

const cases: [text: string, head: string, key: string | undefined, typed: string][] = [
  ["", "", undefined, ""],
  ["serv", "", undefined, "serv"],
  ["status=error http.r", "status=error ", undefined, "http.r"],
  ["service=ca", "", "service", "ca"],
  ["a b -kind!=ser", "a b -", "kind", "ser"],
  ["http.response.status_code>=", "", "http.response.status_code", ""],
  ['name="GET /" ', 'name="GET /" ', undefined, ""],
];

for (const [text, head, key, typed] of cases) {
  Deno.test(`openTerm() takes off what is written last of ${JSON.stringify(text)}`, () => {
    const open = openTerm(text)!;
    assert.deepEqual([open.head, open.key, open.typed], [head, key, typed]);
  });
}

Deno.test("openTerm() offers nothing within quotes, or right behind them", () => {
  assert.equal(openTerm('name="GET /'), undefined);
  assert.equal(openTerm('name="GET /"'), undefined);
});

Deno.test("searchProblem() says in words what the console would refuse", () => {
  assert.equal(searchProblem("traces", "service=a duration>1s"), undefined);
  assert.match(searchProblem("traces", "duration>soon")!, /duration/);
  assert.match(searchProblem("logs", "level=loud")!, /level is one of/);
});
