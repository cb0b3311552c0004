import assert from "node:assert/strict";
import { matchesEtag } from "./etag.ts";

Deno.test("matchesEtag() compares weakly, in lists, and takes * for whatever there is", () => {
  for (const field of ['"a,b"', 'W/"a,b"', '"x", W/"a,b"', '"x","a,b"', "*", " * "]) {
    assert.ok(matchesEtag(field, '"a,b"'), field);
    assert.ok(matchesEtag(field, 'W/"a,b"'), field);
  }
  // A tag may have in it what else says that it is weak.
  assert.ok(matchesEtag('"aW/b"', '"aW/b"'));
  assert.ok(!matchesEtag('"aW/b"', '"ab"'));
  for (const field of [undefined, "", '"a"', "a,b", '"b"', '"a,b', '"*"']) {
    assert.ok(!matchesEtag(field, '"a,b"'), String(field));
  }
});
