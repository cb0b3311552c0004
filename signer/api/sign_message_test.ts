import assert from "node:assert/strict";
import { parseMessage } from "./sign_message.ts";

Deno.test("parseMessage() reads text and base64url", () => {
  assert.deepEqual(parseMessage({ message: "é" }), {
    message: new Uint8Array([0xc3, 0xa9]),
    binary: false,
  });
  assert.deepEqual(parseMessage({ message: "", encoding: "utf8" }).message.length, 0);
  assert.deepEqual(parseMessage({ message: "_-8", encoding: "base64url" }), {
    message: new Uint8Array([255, 239]),
    binary: true,
  });
});

Deno.test("parseMessage() says what is wrong", () => {
  const cases: [unknown, RegExp][] = [
    [null, /JSON object/],
    [["x"], /JSON object/],
    [{}, /'message' must be a text/],
    [{ message: 1 }, /'message' must be a text/],
    [{ message: "\ud800" }, /surrogate/],
    [{ message: "a", encoding: "hex" }, /'encoding' must be/],
    [{ message: "a+/b", encoding: "base64url" }, /not base64url/],
    [{ message: "a", encoding: "base64url" }, /not base64url/],
  ];
  for (const [json, detail] of cases) {
    assert.throws(
      () => parseMessage(json),
      (error: Error & { kind?: string; detail?: string }) =>
        error.kind === "invalid" && detail.test(error.detail ?? ""),
    );
  }
});
