import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../testing/permissions.ts";
import { withTempFolder } from "../testing/temp_folder.ts";
import { kafkaConnection, parseBrokers } from "./kafka_connection.ts";

Deno.test("parseBrokers() takes host:port, several with commas, and nothing else", () => {
  for (
    const [text, brokers] of [
      ["k:9092", ["k:9092"]],
      [" a:1 ,b.example:65535,, [::1]:9092,", ["a:1", "b.example:65535", "[::1]:9092"]],
      ["", []],
    ] as const
  ) assert.deepEqual(parseBrokers(text), brokers, text);
  for (
    const text of [
      ...[
        "k",
        "k:",
        ":9092",
        "k:x",
        "k:123456",
        "k:9092x",
        "a b:1",
        "::1:9092",
        "[::1]",
        "[::g]:1",
      ],
      ...["x[::1]:1", "[::1]:1x", "a:1,b", "http://k:9092"],
    ]
  ) {
    assert.throws(() => parseBrokers(text), {
      message: "Give host:port, or several with commas between.",
    }, text);
  }
});

testWith(
  ["read", "write"],
  "kafkaConnection() reads the files that flags name, a password without its line's end",
  () =>
    withTempFolder(async (folder) => {
      const [ca, password, none] = ["ca", "password", "none"].map((name) => join(folder, name));
      await Deno.writeTextFile(ca!, "PEM");
      const of = (flags: Parameters<typeof kafkaConnection>[2]) =>
        kafkaConnection(["k:1"], "me", flags);
      const plain = { brokers: ["k:1"], clientId: "me" };
      assert.deepEqual(await of({}), plain);
      assert.deepEqual(await of({ kafkaTls: true }), { ...plain, tls: {} });
      for (const kafkaTls of [undefined, true] as const) {
        assert.deepEqual(await of({ kafkaTls, kafkaTlsCa: ca }), { ...plain, tls: { ca: "PEM" } });
      }
      const sasl = {
        kafkaSaslMechanism: "PLAIN" as const,
        kafkaSaslUsername: "ann",
        kafkaSaslPasswordFile: password,
      };
      for (const [text, read] of [["se\ncret\n", "se\ncret"], ["x\r\n", "x"], ["y", "y"]]) {
        await Deno.writeTextFile(password!, text!);
        assert.deepEqual(await of(sasl), {
          ...plain,
          sasl: { mechanism: "PLAIN", username: "ann", password: read },
        });
      }
      for (const name of Object.keys(sasl)) {
        const together = /--kafka-sasl-mechanism, .* and --kafka-sasl-password-file go together\.$/;
        const all: Record<string, unknown> = sasl;
        for (const flags of [{ [name]: all[name] }, { ...sasl, [name]: undefined }]) {
          await assert.rejects(of(flags), { name: "StartError", message: together });
        }
      }
      for (
        const [flags, name] of [
          [{ kafkaTlsCa: none }, "--kafka-tls-ca"],
          [{ ...sasl, kafkaSaslPasswordFile: none }, "--kafka-sasl-password-file"],
        ] as const
      ) {
        await assert.rejects(of(flags), {
          name: "StartError",
          message: new RegExp(`^Cannot read ${none} \\(${name}\\): .`),
        });
      }
    }),
);
