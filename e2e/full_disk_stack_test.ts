/**
 * A disk that is full in the middle of a write, for real: what was not kept is not believed to be, what was
 * there before still is, and it goes on when there is space.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSpool, SpoolError } from "../orb/delivery/spool.ts";
import { SqliteRecords } from "../orb/stores/sqlite/sqlite_records.ts";
import { startTestServer, summaryOf } from "../pingpong/test_server.ts";
import { testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { fillDisk, testWithSmallDisk, withSmallDisk } from "../service/testing/small_disk.ts";
import { openKeyStore } from "../signer/keys/key_store.ts";
import { verifyAuditLog } from "../signer/work/audit_chain.ts";
import { openAuditLog } from "../signer/work/audit_log.ts";

/** A disk that the test can fill and empty. */
interface SmallDisk {
  disk: string;
  fill(): Promise<void>;
  free(): Promise<void>;
}

function onSmallDisk(run: (disk: SmallDisk) => Promise<void>, size = "1m"): Promise<void> {
  return withSmallDisk(size, (disk) => {
    const filler = join(disk, "filler");
    return run({ disk, fill: () => fillDisk(filler), free: () => Deno.remove(filler) });
  });
}

const digests = (first: number, count: number) => {
  const all = new Uint8Array(32 * count);
  for (let n = 0; n < count; n++) new DataView(all.buffer).setUint32(32 * n, first + n);
  return all;
};

testWithSmallDisk(
  "tokens whose transaction the disk refused are new when they come again",
  () =>
    onSmallDisk(async ({ disk, fill, free }) => {
      const records = new SqliteRecords({ path: join(disk, "tokens.sqlite"), nowMs: () => 0 });
      records.apply(digests(0, 10), []);
      await fill();
      // Larger than what the write-ahead log has room for.
      const refused = digests(100, 5_000);
      assert.throws(() => records.apply(refused, []), /full|I\/O/);
      assert.equal(records.count, 10);
      await free();
      const { tokens } = records.apply(refused, []);
      assert.ok(tokens.every((result) => result === "new"));
      assert.equal(records.apply(digests(0, 1), []).tokens[0], "duplicate");
      assert.equal(records.count, 5_010);
      records.close();
    }),
);

testWithSmallDisk(
  "a spool whose disk is full holds what it has acknowledged, and nothing else",
  () =>
    onSmallDisk(async ({ disk, fill, free }) => {
      const { meter } = testContext().telemetry;
      const options = { folder: join(disk, "spool"), maxBytes: 100_000_000, meter };
      const spool = await openSpool(options);
      const image = new Uint8Array(100_000);
      await spool.add({ id: "kept", orb: 1, image });
      await fill();
      await assert.rejects(spool.add({ id: "refused", orb: 1, image }), SpoolError);
      assert.deepEqual(spool.size, { signups: 1, bytes: 100_000 });
      await free();
      await spool.add({ id: "refused", orb: 1, image });
      assert.deepEqual(spool.size, { signups: 2, bytes: 200_000 });
      spool.close();
      const again = await openSpool(options);
      assert.deepEqual(again.size, { signups: 2, bytes: 200_000 });
      again.close();
    }),
);

testWithSmallDisk(
  "a rotation that the disk refuses leaves the key that signs, and no half of another",
  () =>
    onSmallDisk(async ({ disk, fill, free }) => {
      const path = join(disk, "keys");
      const store = await openKeyStore({ path, algorithm: "ed25519" });
      const files = () => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
      const before = { kid: store.active.publicJwk.kid, files: files() };
      await fill();
      await assert.rejects(store.rotate(), /space/);
      assert.deepEqual({ kid: store.active.publicJwk.kid, files: files() }, before);
      await free();
      const { kid } = await store.rotate();
      assert.equal(store.active.publicJwk.kid, kid);
      await store.close();
    }),
);

testWithSmallDisk(
  "an audit log whose disk is full says so for good, and goes on whole after a start",
  () =>
    onSmallDisk(async ({ disk, fill, free }) => {
      const folder = join(disk, "audit");
      const entry = {
        ...{ msgId: "m", actor: "ann", respTopic: "x".repeat(1_000) },
        ...{ digest: "0".repeat(64), algorithm: "ed25519", keyId: "k" },
      };
      const log = await openAuditLog({ folder });
      await log.append(entry);
      await fill();
      let acknowledged = 1;
      const refused = await (async () => {
        // What is left of its last page takes some.
        for (; acknowledged < 100; acknowledged++) {
          try {
            await log.append(entry);
          } catch (error) {
            return error;
          }
        }
      })();
      assert.match(String(refused), /Cannot write the audit log .*space/);
      await assert.rejects(log.failed, /space/);
      await free();
      await assert.rejects(log.append(entry), /Cannot write the audit log/);
      await log.close();
      const warnings: string[] = [];
      const after = await openAuditLog({ folder, warn: (line) => warnings.push(line) });
      assert.equal(after.count, acknowledged, warnings.join("\n"));
      await after.append(entry);
      await after.close();
      const verdict = await verifyAuditLog(folder);
      assert.deepEqual([verdict.ok, verdict.entries], [true, acknowledged + 1]);
    }),
);

testWithSmallDisk(
  "a ping-pong server whose mailbox's disk is full answers all the same, and says so",
  () =>
    onSmallDisk(async ({ disk, fill, free }) => {
      const mailbox = join(disk, "mailbox.sqlite");
      await using server = await startTestServer({ mailbox, mailboxMaxAgeMs: 3_600_000 });
      const ping = async (mode: "bidi" | "uni" | "datagram" | "websocket") => {
        // Ids and all of a run have to be kept until they are acknowledged.
        const result = await server.ping({
          mode,
          name: `some-one-${mode}`,
          pingCount: 300,
          intervalMs: 0,
          deadlineMs: 30_000,
          retries: 1,
          size: 64,
        });
        const { received, lost } = summaryOf(result);
        assert.deepEqual({ received, lost }, { received: 300, lost: 0 }, result.lines.join("\n"));
      };
      await ping("bidi");
      const said = (pattern: RegExp) => server.logged.filter((line) => pattern.test(line)).length;
      assert.equal(said(/cannot be kept/), 0);
      await fill();
      for (const mode of ["bidi", "uni", "datagram", "websocket"] as const) await ping(mode);
      assert.ok(said(/^WARN Answers cannot be kept and are sent all the same .*full/) > 0);
      await free();
      await eventually("that it works again", async () => {
        await ping("bidi");
        return said(/kept in the mailbox again/) === said(/cannot be kept/) || undefined;
      });
    }, "16m"),
);
