/**
 * Writes what is promised to be on the disk, one after the other, and says on stdout where each begins
 * and where it was acknowledged. `durability_stack_test.ts` looks at its system calls.
 *
 * @module
 */
import { hash } from "node:crypto";
import { join } from "node:path";
import { openDeviceKeys } from "../orb/auth/device_keys.ts";
import { openSpool } from "../orb/delivery/spool.ts";
import { openImageFolder } from "../orb/stores/image_folder.ts";
import { SqliteRecords } from "../orb/stores/sqlite/sqlite_records.ts";
import { memoryBus } from "../service/bus/memory_bus.ts";
import { testContext } from "../service/testing/context.ts";
import { realWorld } from "../service/world/world.ts";
import { startSigningService } from "../signer/work/signing_service.ts";
import { newLiveProcess } from "../simulator/live/live_process.ts";
import { openSqliteStore } from "../simulator/live/sqlite_store.ts";
import { jobsSchema } from "../simulator/live/test_live_store.ts";
import { transact } from "../simulator/topology/ports.ts";
import { toPromise } from "../simulator/topology/step.ts";

const encoder = new TextEncoder();

function mark(text: string): void {
  Deno.stdout.writeSync(encoder.encode(`${text}\n`));
}

async function step(name: string, work: () => unknown): Promise<void> {
  mark(`begin ${name}`);
  await work();
  mark(`end ${name}`);
}

async function orb(folder: string): Promise<void> {
  const { meter } = testContext().telemetry;
  const records = new SqliteRecords({ path: join(folder, "tokens.sqlite"), nowMs: () => 0 });
  for (const byte of [1, 2]) {
    await step(`token ${byte}`, () => records.apply(new Uint8Array(32).fill(byte), []));
  }
  records.close();

  const spool = await openSpool({ folder: join(folder, "spool"), maxBytes: 1_000_000, meter });
  for (const id of ["a", "b"]) {
    await step(`spooled ${id}`, () => spool.add({ id, orb: 1, image: new Uint8Array(10) }));
  }
  await step("unspooled a", () => spool.remove(spool.oldest(1)!));
  spool.close();

  const images = await openImageFolder({ path: join(folder, "data") });
  for (const byte of [1, 2]) {
    const image = new Uint8Array(1_000).fill(byte);
    await step(`image ${byte}`, () => images.put(hash("sha256", image, "hex"), image));
  }
  await step("device keys", () => openDeviceKeys(join(folder, "devices"), 1));
}

async function simulator(folder: string): Promise<void> {
  for (const durability of ["power-loss", "process-end"] as const) {
    const path = join(folder, `${durability}.sqlite`);
    const world = realWorld;
    const store = openSqliteStore({ path, schema: jobsSchema, busyMs: 1_000, world, durability });
    const connection = store.connect(newLiveProcess("one"));
    const insert = (name: string) =>
      toPromise(transact(connection, (tx) => tx.insert("jobs", { name, queue: "open" })));
    for (const name of ["a", "b"]) await step(`${durability} ${name}`, () => insert(name));
    await store.close();
  }
}

async function signer(folder: string): Promise<void> {
  for (const auditSync of [true, undefined] as const) {
    const bus = memoryBus();
    await bus.createTopic("mine");
    let answered = Promise.withResolvers<void>();
    const handle = () => answered.resolve();
    await bus.follow({ topic: "mine", from: "end", handle });
    const dataDir = join(folder, auditSync ? "synced" : "unsynced");
    const signing = await startSigningService({
      ...{ bus, requestTopic: "signer.v1", group: "g" },
      flags: { algorithm: "ed25519", dataDir, auditSync },
    }, testContext());
    for (const id of ["a", "b"]) {
      answered = Promise.withResolvers<void>();
      await step(`signature ${id} ${auditSync ? "synced" : "unsynced"}`, async () => {
        await bus.send("signer.v1", {
          headers: [["msg_id", encoder.encode(id)], ["resp_topic", encoder.encode("mine")]],
          value: encoder.encode("hello"),
        });
        await answered.promise;
      });
    }
    if (auditSync) {
      await step("rotation", () => signing.keys!.rotate());
      const kid = signing.keys!.keys.at(-1)!.kid;
      await step("retirement", () => signing.keys!.retire(kid));
      const active = signing.keys!.active.publicJwk.kid;
      const revoking = { kid: active, reason: "for the test", actor: "ann" };
      await step("revocation", () => signing.revocations!.revoke(revoking));
    }
    await signing.close();
    await bus.close();
  }
}

if (import.meta.main) {
  const folder = Deno.args[0]!;
  await orb(folder);
  await simulator(folder);
  await signer(folder);
  Deno.exit(0);
}
