import assert from "node:assert/strict";
import { hostUrls } from "./host_urls.ts";

Deno.test("hostUrls() gives one URL a host", () => {
  assert.deepEqual(hostUrls("postgres://orb:p%40ss@one:5432,two,[::1]:5433/orb?sslmode=require"), [
    "postgres://orb:p%40ss@one:5432/orb?sslmode=require",
    "postgres://orb:p%40ss@two/orb?sslmode=require",
    "postgres://orb:p%40ss@[::1]:5433/orb?sslmode=require",
  ]);
  assert.deepEqual(hostUrls("postgresql://orb:secret@db/orb"), ["postgresql://orb:secret@db/orb"]);
  for (
    const wrong of ["", "db", "http://a@b/c", "postgres://db/orb", "postgres://a:b@one,,two/c"]
  ) {
    assert.deepEqual(hostUrls(wrong), [], wrong);
  }
});
