import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { generatedClient, generatedHeader } from "./api/generated_client.ts";
import { completeOpenApi } from "./generate_client.ts";

testWith(["net", "read", "write"], "the generated client is of the API as it is", async () => {
  const text = await Deno.readTextFile(generatedClient);
  const end = text.indexOf("\n") + 1;
  assert.equal(
    text.slice(0, end),
    generatedHeader(await completeOpenApi(), text.slice(end)),
    "The API or the file has changed: run deno task orb:generate-client",
  );
});
