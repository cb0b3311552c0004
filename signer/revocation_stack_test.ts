import assert from "node:assert/strict";
import { programArguments } from "../service/program_file.ts";
import { noDeadline, testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startKafka } from "../stack/kafka.ts";
import { testWithStack } from "../stack/test_with_stack.ts";
import { startService } from "./service.ts";
import { serviceOptions } from "./test_options.ts";

testWithStack(
  "keys revoke ends a key over a real Kafka, by a command that has no keys itself",
  async () => {
    await using kafka = await startKafka();
    const folder = await Deno.makeTempDir();
    const brokers = { kafkaBrokers: [kafka.bootstrapServer], kafkaStartTimeoutMs: 60_000 };
    const service = await startService(serviceOptions(folder, brokers), testContext());
    const keys = async () =>
      (await (await fetch(`http://127.0.0.1:${service.port}/keys`)).json()).keys as {
        kid: string;
        state: string;
      }[];
    try {
      const { kid } = (await keys())[0]!;
      const revoke = async (id: string) => {
        const args = await programArguments(`${import.meta.dirname}/service.ts`, [
          ...["keys", "revoke", id, "--reason", "leaked", "--kafka-brokers", kafka.bootstrapServer],
        ]);
        const output = await new Deno.Command(Deno.execPath(), { args }).output();
        const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
        return { code: output.code, out: text(output.stdout), err: text(output.stderr) };
      };
      const done = await revoke(kid);
      assert.equal(done.code, 0, done.err);
      assert.equal(JSON.parse(done.out).revoked_by, "operator");
      await eventually("another key", async () => {
        const [first, second] = await keys();
        return (first!.kid !== kid && second?.kid === kid && second.state === "retired") ||
          undefined;
      });
      const unknown = await revoke("A".repeat(43));
      assert.equal(unknown.code, 1);
      assert.match(unknown.err, /No service has published a key/);
    } finally {
      await service.stop(noDeadline);
      await Deno.remove(folder, { recursive: true });
    }
  },
);
