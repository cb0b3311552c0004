import assert from "node:assert/strict";
import { testWith } from "../testing/permissions.ts";
import { BusError } from "./bus.ts";

// The client library reads the whole environment when it is loaded.
const needs: Deno.PermissionName[] = ["env", "read", "sys"];

testWith(
  needs,
  "busError() says what a client's error means, and which ACL is missing",
  async () => {
    const { MultipleErrors, NetworkError, ProtocolError, UserError } = await import(
      "@platformatic/kafka"
    );
    const { brokerSaid, busError } = await import("./kafka_client.ts");
    const said = (id: string) => new ProtocolError(id as never);
    const acls = { topic: "READ topic t", group: "READ group g" };
    for (
      const [error, kind, advice] of [
        [said("MESSAGE_TOO_LARGE"), "too-large", ""],
        [said("RECORD_LIST_TOO_LARGE"), "too-large", ""],
        [said("UNKNOWN_TOPIC_OR_PARTITION"), "unknown-topic", ""],
        [said("UNKNOWN_TOPIC_ID"), "unknown-topic", ""],
        [said("INVALID_TOPIC_EXCEPTION"), "unknown-topic", ""],
        [said("TOPIC_AUTHORIZATION_FAILED"), "unknown-topic", acls.topic],
        [said("GROUP_AUTHORIZATION_FAILED"), "unavailable", acls.group],
        // The coordinator moves, or is not chosen yet: a start tries again.
        [said("NOT_COORDINATOR"), "unavailable", ""],
        [said("COORDINATOR_NOT_AVAILABLE"), "unavailable", ""],
        [
          new MultipleErrors("several", [new Error("x"), said("MESSAGE_TOO_LARGE")]),
          "too-large",
          "",
        ],
        [new UserError("Unknown topic t."), "unknown-topic", ""],
        [new UserError("something else"), "unavailable", ""],
        [new NetworkError("Unknown topic: the connection is lost"), "unavailable", ""],
        [new Error("odd"), "unavailable", ""],
        ["no error", "unavailable", ""],
      ] as const
    ) {
      const meant = busError(error, "read t", acls);
      assert.ok(meant instanceof BusError);
      assert.equal(meant.kind, kind, meant.message);
      assert.match(meant.message, /^Cannot read t: ./);
      if (advice === "") assert.doesNotMatch(meant.message, /ACL/);
      else assert.ok(meant.message.endsWith(` Its user needs the ACL: ${advice}.`), meant.message);
    }
    const own = new BusError("overloaded", "full");
    assert.equal(busError(own, "send"), own);
    assert.doesNotMatch(busError(said("TOPIC_AUTHORIZATION_FAILED"), "read t").message, /ACL/);
    assert.equal(brokerSaid(said("NOT_COORDINATOR"), "A", "NOT_COORDINATOR"), true);
    assert.equal(brokerSaid(said("NOT_COORDINATOR"), "A"), false);
    assert.equal(brokerSaid("NOT_COORDINATOR", "NOT_COORDINATOR"), false);
  },
);

testWith(
  needs,
  "clientOptions() say where brokers are, how to be let in, and how long to wait",
  async () => {
    const { clientOptions } = await import("./kafka_client.ts");
    const brokers = ["k:9092"];
    const usual = {
      ...{ clientId: "me", bootstrapBrokers: brokers, connectTimeout: 3_000, timeout: 5_000 },
      ...{ requestTimeout: 10_000, retries: 0, metadataMaxAge: 10_000 },
    };
    const base = { brokers, clientId: "me" };
    assert.deepEqual(clientOptions(base), usual);
    assert.deepEqual(clientOptions({ ...base, connectTimeoutMs: 7, requestTimeoutMs: 8 }), {
      ...usual,
      ...{ connectTimeout: 7, timeout: 8, requestTimeout: 5_008 },
    });
    const sasl = { mechanism: "PLAIN" as const, username: "u", password: "p" };
    assert.deepEqual(clientOptions({ ...base, tls: {}, sasl }), { ...usual, tls: {}, sasl });
    assert.deepEqual(clientOptions({ ...base, tls: { ca: "PEM" } }), {
      ...usual,
      tls: { ca: ["PEM"] },
    });
  },
);

testWith(
  needs,
  "ClientRetries waits as told while a client is open, and not when it closes",
  async () => {
    const { ClientRetries } = await import("./kafka_client.ts");
    const retries = new ClientRetries(5, 20);
    const delay = retries.options.retryDelay as () => number;
    assert.equal(retries.options.retries, 5);
    await retries.next();
    const order: string[] = [];
    setTimeout(() => order.push("retried"), delay());
    await retries.next();
    order.push("waited");
    assert.deepEqual(order, ["retried", "waited"]);
    await retries.end(() => {
      assert.equal(delay(), 0);
      setTimeout(() => order.push("retried at once"), delay());
      order.push("closed");
      return Promise.resolve();
    });
    assert.deepEqual(order.slice(2), ["closed", "retried at once"]);
    await assert.rejects(retries.end(() => Promise.reject(new Error("no"))), { message: "no" });
  },
);
