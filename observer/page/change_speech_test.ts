import assert from "node:assert/strict";
import { ChangeSpeech } from "./change_speech.ts";

const none = { store: "a", added: 0, removed: 0 };

Deno.test("ChangeSpeech says what changed, at most every ten seconds, and nothing when nothing did", () => {
  const speech = new ChangeSpeech();
  assert.equal(speech.take({ ...none, atMs: 0, added: 9 }), undefined, "what one comes to is read");
  assert.equal(speech.take({ ...none, atMs: 5_000 }), undefined);
  assert.equal(
    speech.take({ ...none, atMs: 10_000, added: 2, removed: 1 }),
    "2 images came, 1 image went",
  );
  assert.equal(speech.take({ ...none, atMs: 10_000, added: 2, removed: 1 }), undefined, "once");
  assert.equal(speech.take({ ...none, atMs: 15_000, added: 1 }), undefined);
  assert.equal(speech.take({ ...none, atMs: 20_000, added: 1 }), "2 images came");
  assert.equal(speech.take({ ...none, atMs: 40_000 }), undefined);
  assert.equal(speech.take({ ...none, store: "b", atMs: 41_000, removed: 5 }), undefined);
  assert.equal(speech.take({ ...none, store: "b", atMs: 46_000, removed: 1 }), "1 image went");
});
