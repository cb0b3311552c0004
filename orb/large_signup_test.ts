import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { hashToken } from "./hash_token.ts";
import { imageMark, readLargeSignup } from "./large_signup.ts";
import { decodeBase64, parseSignup } from "./signup.ts";

const image = Uint8Array.from({ length: 20_000 }, (_, index) => index * 7 % 256);
const base64 = image.toBase64();

function piecesOf(body: string, size: number): Uint8Array[] {
  const bytes = new TextEncoder().encode(body);
  const count = Math.ceil(bytes.length / size);
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

const sha256 = (bytes: Uint8Array) => hash("sha256", bytes, "hex");

Deno.test("a large signup is read as the plain way reads it, however it is cut into pieces", () => {
  for (const length of [19_998, 19_999, 20_000]) {
    const text = image.subarray(0, length).toBase64();
    for (
      const body of [
        `{"id":"one","image_base64":"${text}"}`,
        `{"image_base64":"${text}","id":"one"}`,
        ` { "id" : "one" ,"image_base64":"${text}" } `,
        `\ufeff{"id":"one","image_base64":"${text}","more":[1]}`,
      ]
    ) {
      for (const size of [997, 1_000, 4_099, 16_384, 1_000_000]) {
        const large = readLargeSignup(piecesOf(body, size));
        assert.ok(large, `${body.slice(0, 30)} in pieces of ${size}`);
        assert.deepEqual(parseSignup(large.envelope), { id: "one", imageBase64: imageMark });
        const plain = decodeBase64(text);
        assert.equal(sha256(large.image), sha256(plain));
        assert.equal(hashToken(large.image), hashToken(plain));
      }
    }
  }
});

Deno.test("a large signup of another form is left to the plain way", () => {
  const end = `"${"}"}`;
  for (
    const [what, body] of [
      ["small", `{"id":"one","image_base64":"QUJD${end}`],
      ["no image", `{"id":"${base64}${end}`],
      ["no string", `{"id":"one","image_base64":12,"x":"${base64}${end}`],
      ["white space before it", `{"id":"one","image_base64": "${base64}${end}`],
      ["white space within", `{"id":"one","image_base64":"${base64.slice(0, 8)}\\n${base64}${end}`],
      ["a raw space within", `{"id":"one","image_base64":"QUJD ${base64.slice(5)}${end}`],
      ["an escape within", `{"id":"one","image_base64":"${base64}\\u0041${end}`],
      ["padding within", `{"id":"one","image_base64":"QQ==${base64}${end}`],
      ["no whole quantum", `{"id":"one","image_base64":"${base64}A${end}`],
      ["left-over bits", `{"id":"one","image_base64":"${base64.slice(0, -4)}AB==${end}`],
      ["no end", `{"id":"one","image_base64":"${base64}`],
      ["no JSON", `{"id":"one,"image_base64":"${base64}${end}`],
      ["a key's end", `{"id":"one","x\\"image_base64":"${base64}${end}`],
      ["an escaped id", `{"id":"\\u0040","image_base64":"${base64}${end}`],
      ["the mark itself", `{"x":{"image_base64":"${base64}"},"id":"one","image_base64":"@${end}`],
      ["much besides", `{"image_base64":"${base64}","id":"one","x":"${"y".repeat(5_000)}${end}`],
    ] as const
  ) {
    for (const size of [1_000, 4_096, 1_000_000]) {
      assert.equal(readLargeSignup(piecesOf(body, size)), undefined, `${what}, ${size}`);
    }
  }
});

Deno.test("an image elsewhere, or one that is not the last of its name, is not taken for it", () => {
  for (
    const body of [
      `{"x":{"image_base64":"${base64}"},"id":"one","image_base64":"QUJD"}`,
      `{"image_base64":"${base64}","id":"one","image_base64":"QUJD"}`,
    ]
  ) {
    const large = readLargeSignup(piecesOf(body, 1_000));
    assert.equal(parseSignup(large!.envelope).imageBase64, "QUJD");
  }
});

Deno.test("padding is for the end only, also where a piece ends behind it", () => {
  const head = '{"id":"one","image_base64":"QQ==';
  const body = `${head}${image.subarray(0, 19_998).toBase64()}"}`;
  const encoder = new TextEncoder();
  const pieces = [encoder.encode(head), encoder.encode(body.slice(head.length))];
  assert.equal(readLargeSignup(pieces), undefined);
});
