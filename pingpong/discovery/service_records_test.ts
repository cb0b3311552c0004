import assert from "node:assert/strict";
import { ServiceRecords } from "./service_records.ts";

const type = "_pingpong._udp.local";
const name = `Lab 1.${type}`;

Deno.test("an instance that only PTR tells of is asked for place, text and addresses", () => {
  const records = new ServiceRecords(4);
  records.learn({ name: type, type: "PTR", data: name });
  const key = name.toLowerCase();
  assert.deepEqual(records.questions(), [{ name: key, type: "SRV" }, { name: key, type: "TXT" }]);
  assert.deepEqual(records.found(), []);
  records.learn({ name, type: "SRV", data: { target: "lab.local", port: 4433 } });
  assert.deepEqual(records.questions().map(({ name, type }) => `${type} ${name}`), [
    `TXT ${key}`,
    "A lab.local",
    "AAAA lab.local",
  ]);
  records.learn({ name, type: "TXT", data: [new TextEncoder().encode("path=/ping")] });
  records.learn({ name: "lab.local", type: "AAAA", data: "fd00::7" });
  assert.deepEqual(records.questions(), []);
  assert.deepEqual(records.found(), [
    { target: { host: "fd00::7", port: 4433, path: "/ping" }, priority: 0 },
  ]);
});

Deno.test("names are one whatever their case", () => {
  const records = new ServiceRecords(4);
  records.learn({ name: type.toUpperCase(), type: "PTR", data: name });
  const data = { target: "LAB.local", port: 1 };
  records.learn({ name: name.toUpperCase(), type: "SRV", data });
  records.learn({ name: "lab.LOCAL", type: "A", data: "10.0.0.7" });
  records.learn({ name: name.toLowerCase(), type: "TXT", data: ["PATH=/Ping"] });
  assert.deepEqual(records.found(), [
    { target: { host: "10.0.0.7", port: 1, path: "/Ping" }, priority: 0 },
  ]);
  records.learn({ name: name.toUpperCase(), type: "SRV", ttl: 0, data });
  assert.deepEqual(records.found(), []);
});

Deno.test("a target of . is no server, and nothing more is asked about it", () => {
  const records = new ServiceRecords(4);
  records.learn({ name, type: "SRV", data: { target: ".", port: 0 } });
  records.learn({ name, type: "TXT", data: [] });
  assert.deepEqual(records.questions(), []);
  assert.deepEqual(records.found(), []);
});

Deno.test("more instances, hosts and addresses than are wanted are left out", () => {
  const records = new ServiceRecords(2);
  for (let index = 0; index < 5; index++) {
    records.learn({ name: type, type: "PTR", data: `${index}.${type}` });
    const data = { target: `${index}.local`, port: 1 };
    records.learn({ name: `${index}.${type}`, type: "SRV", data });
    records.learn({ name: `${index}.local`, type: "A", data: "10.0.0.1" });
    for (let last = 0; last < 20; last++) {
      records.learn({ name: "0.local", type: "A", data: `10.0.1.${last}` });
    }
  }
  assert.equal(records.found().length, 8 + 1);
});
