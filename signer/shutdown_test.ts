/** What is under way when a program of the signer stops is signed, noted and answered: everything it needs ends after it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Bus } from "../service/bus/bus.ts";
import { memoryBus } from "../service/bus/memory_bus.ts";
import { noDeadline, testContext } from "../service/testing/context.ts";
import { testWith } from "../service/testing/permissions.ts";
import { Peer } from "../service/testing/tcp_peer.ts";
import { startRestApi } from "./rest_api.ts";
import { restApiOptions } from "./test_options.ts";
import { verifyAuditLog } from "./work/audit_chain.ts";
import { startSigningService } from "./work/signing_service.ts";
import { withTempFolder } from "../service/testing/temp_folder.ts";

const encoder = new TextEncoder();

testWith(
  ["net", "read", "write"],
  "a REST API that stops signs what is on its way to it: requester, service and bus end after the server",
  () =>
    withTempFolder(async (folder) => {
      const context = testContext();
      const api = await startRestApi(restApiOptions(folder), context);
      const peer = await Peer.connect(api.port);
      const body = '{"message":"hello"}';
      await peer.send(
        `POST /sign HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nexpect: 100-continue\r\n` +
          `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`,
      );
      // It reads the body now.
      await peer.has(/100 Continue/);
      context.stop();
      const stopped = api.stop(noDeadline);
      await peer.send(body);
      await peer.end();
      assert.match(peer.received, /HTTP\/1\.1 200 /);
      assert.match(peer.received, /"signature":"/);
      peer.close();
      await stopped;
      const verdict = await verifyAuditLog(join(folder, "audit"));
      assert.deepEqual([verdict.ok, verdict.entries], [true, 1]);
      // Its own topic of answers was removed, which the bus must have been there for.
      const bad = context.lines.filter((line) => /^(WARN|ERROR)/.test(line));
      assert.deepEqual(bad, []);
    }),
);

testWith(
  ["read", "write"],
  "a signing service that stops notes and answers what it has taken, and its audit log ends last",
  () =>
    withTempFolder(async (folder) => {
      const inner = memoryBus();
      const taken = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      const bus: Bus = {
        ...inner,
        consume: (options) =>
          inner.consume({
            ...options,
            async handle(record) {
              taken.resolve();
              await goOn.promise;
              await options.handle(record);
            },
          }),
      };
      await bus.createTopic("mine");
      const answers: unknown[] = [];
      await bus.follow({ topic: "mine", from: "end", handle: (answer) => answers.push(answer) });
      const signing = await startSigningService({
        ...{ bus, requestTopic: "signer.v1", group: "g" },
        flags: { algorithm: "ed25519", dataDir: folder },
      }, testContext());
      let failure: unknown;
      signing.failed.catch((error) => failure = error);
      await bus.send("signer.v1", {
        headers: [["msg_id", encoder.encode("m")], ["resp_topic", encoder.encode("mine")]],
        value: encoder.encode("hello"),
      });
      await taken.promise;
      const closed = signing.close(noDeadline);
      goOn.resolve();
      await closed;
      assert.equal(failure, undefined);
      assert.equal(answers.length, 1);
      const verdict = await verifyAuditLog(join(folder, "audit"));
      assert.deepEqual([verdict.ok, verdict.entries], [true, 1]);
      await bus.close();
    }),
);
