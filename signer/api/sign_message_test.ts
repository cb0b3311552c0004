import assert from "node:assert/strict";
import { parseMessage } from "./sign_message.ts";

Deno.test("parseMessage() reads text and base64url", () => {
  assert.deepEqual(parseMessage({ message: "é" }), {
    message: new Uint8Array([0xc3, 0xa9]),
    binary: false,
    format: "raw",
  });
  assert.deepEqual(parseMessage({ message: "", encoding: "utf8" }).message.length, 0);
  assert.deepEqual(parseMessage({ message: "_-8", encoding: "base64url" }), {
    message: new Uint8Array([255, 239]),
    binary: true,
    format: "raw",
  });
  assert.equal(parseMessage({ message: "a", format: "der" }).format, "der");
});

Deno.test("parseMessage() says what is wrong", () => {
  const cases: [unknown, RegExp][] = [
    [null, /JSON object/],
    [["x"], /JSON object/],
    [{}, /'message' must be a text/],
    [{ message: 1 }, /'message' must be a text/],
    [{ message: "\ud800" }, /surrogate/],
    [{ message: "a", encoding: "hex" }, /'encoding' must be/],
    [{ message: "a+/b", encoding: "base64url" }, /not strictly base64url/],
    [{ message: "a", encoding: "base64url" }, /not strictly base64url/],
    [{ message: "_x", encoding: "base64url" }, /no bits left over/],
    [{ message: "_-8\n", encoding: "base64url" }, /no white space/],
    [{ message: "_-8 ", encoding: "base64url" }, /no white space/],
    [{ message: "a", format: "pem" }, /'format' must be/],
  ];
  for (const [json, detail] of cases) {
    assert.throws(
      () => parseMessage(json),
      (error: Error & { kind?: string; detail?: string }) =>
        error.kind === "invalid" && detail.test(error.detail ?? ""),
    );
  }
});
