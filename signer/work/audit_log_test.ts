import assert from "node:assert/strict";
import { join } from "node:path";
import { StartError } from "../../service/life_cycle.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { type AuditEntry, auditGenesis, verifyAuditLog } from "./audit_chain.ts";
import { openAuditLog } from "./audit_log.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";

const needs: Deno.PermissionName[] = ["read", "write"];

function entry(n: number): AuditEntry {
  return {
    msgId: `m${n}`,
    actor: 'somebody "quoted"\n',
    respTopic: "r",
    digest: "ab".repeat(32),
    algorithm: "ed25519",
    keyId: "k",
  };
}

/** Writes `count` entries and gives the files' names. */
async function written(folder: string, count: number, maxFileBytes?: number): Promise<string[]> {
  const log = await openAuditLog({ folder, ...(maxFileBytes && { maxFileBytes }) });
  for (let n = 0; n < count; n++) await log.append(entry(n));
  await log.close();
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) if (name.endsWith(".jsonl")) names.push(name);
  return names.sort();
}

testWith(
  needs,
  "audit log goes on where it was, over several files, and verifies",
  () =>
    withTempFolder(async (folder) => {
      assert.deepEqual(await verifyAuditLog(folder), { ok: true, entries: 0, head: auditGenesis });
      await written(folder, 5);
      const files = await written(folder, 5, 1);
      assert.ok(files.length > 2, files.join());
      const log = await openAuditLog({ folder });
      await Promise.all(Array.from({ length: 1_000 }, (_, n) => log.append(entry(n))));
      const { head, count } = log;
      await log.close();
      assert.equal(count, 1_010);
      assert.deepEqual(await verifyAuditLog(folder), { ok: true, entries: 1_010, head });
      assert.equal((await verifyAuditLog(folder, head)).ok, true);
    }),
);

for (
  const [what, damage, problem] of [
    ["a changed entry", (lines: string[]) => lines.with(2, lines[2]!.replace("m2", "mX")), /hash/],
    ["a missing entry", (lines: string[]) => lines.toSpliced(2, 1), /does not follow/],
    [
      "two entries in the other order",
      (lines: string[]) => lines.with(2, lines[3]!).with(3, lines[2]!),
      /does not follow/,
    ],
    ["an entry put in", (lines: string[]) => lines.toSpliced(2, 0, lines[1]!), /does not follow/],
    ["a line that is none", (lines: string[]) => lines.toSpliced(2, 0, "{}"), /not an entry/],
  ] as const
) {
  testWith(
    needs,
    `verifyAuditLog() finds ${what}, and where`,
    () =>
      withTempFolder(async (folder) => {
        const [file] = await written(folder, 5);
        const path = join(folder, file!);
        const lines = (await Deno.readTextFile(path)).trimEnd().split("\n");
        await Deno.writeTextFile(path, `${damage(lines).join("\n")}\n`);
        const verdict = await verifyAuditLog(folder);
        assert.ok(!verdict.ok);
        assert.equal(verdict.entries, 2);
        assert.equal(verdict.line, 3);
        assert.equal(verdict.file, file);
        assert.match(verdict.problem, problem);
      }),
  );
}

testWith(
  needs,
  "verifyAuditLog() finds entries missing at the end by a head noted before",
  () =>
    withTempFolder(async (folder) => {
      const [file] = await written(folder, 5);
      const before = await verifyAuditLog(folder);
      assert.ok(before.ok);
      const path = join(folder, file!);
      const lines = (await Deno.readTextFile(path)).trimEnd().split("\n");
      await Deno.writeTextFile(path, `${lines.slice(0, 3).join("\n")}\n`);
      assert.equal((await verifyAuditLog(folder)).ok, true);
      const verdict = await verifyAuditLog(folder, before.head);
      assert.ok(!verdict.ok);
      assert.match(verdict.problem, /missing at the end/);
    }),
);

testWith(
  needs,
  "openAuditLog() takes away a line that a crash has cut, and goes on",
  () =>
    withTempFolder(async (folder) => {
      const [file] = await written(folder, 3);
      await Deno.writeTextFile(join(folder, file!), '{"seq":4,"ti', { append: true });
      await written(folder, 1);
      const verdict = await verifyAuditLog(folder);
      assert.ok(verdict.ok && verdict.entries === 4, JSON.stringify(verdict));
    }),
);

/** Names and contents of what was taken out of the log. */
async function tornFiles(folder: string): Promise<Record<string, string>> {
  const torn: Record<string, string> = {};
  for await (const { name } of Deno.readDir(folder)) {
    if (name.includes(".torn")) torn[name] = await Deno.readTextFile(join(folder, name));
  }
  return torn;
}

testWith(
  needs,
  "openAuditLog() keeps the half line of a crash under another name, each of several",
  () =>
    withTempFolder(async (folder) => {
      const [file] = await written(folder, 3);
      const warnings: string[] = [];
      for (const half of ['{"seq":4,"ti', "\u{1f511}"]) {
        await Deno.writeTextFile(join(folder, file!), half, { append: true });
        await (await openAuditLog({ folder, warn: (message) => warnings.push(message) })).close();
      }
      assert.deepEqual(await tornFiles(folder), {
        [`${file}.torn-1`]: '{"seq":4,"ti',
        [`${file}.torn-2`]: "\u{1f511}",
      });
      assert.equal(warnings.length, 2);
      assert.match(warnings[0]!, /half a line of 12 bytes: it is in .*torn-1/);
      assert.equal((await verifyAuditLog(folder)).ok, true);
    }),
);

testWith(
  needs,
  "openAuditLog() keeps a file without a whole line under another name, and goes on before it",
  () =>
    withTempFolder(async (folder) => {
      await written(folder, 3);
      const begun = "audit-000000000004.jsonl";
      await Deno.writeTextFile(join(folder, begun), '{"seq":4,"time":"20');
      await written(folder, 1);
      assert.deepEqual(await tornFiles(folder), { [`${begun}.torn-1`]: '{"seq":4,"time":"20' });
      const verdict = await verifyAuditLog(folder);
      assert.ok(verdict.ok && verdict.entries === 4, JSON.stringify(verdict));
    }),
);

testWith(
  needs,
  "openAuditLog() refuses to go on after a damaged end",
  () =>
    withTempFolder(async (folder) => {
      const [file] = await written(folder, 2);
      await Deno.writeTextFile(join(folder, file!), "nonsense\n", { append: true });
      await assert.rejects(openAuditLog({ folder }), StartError);
    }),
);

testWith(
  needs,
  "openAuditLog() refuses a folder that another has open",
  () =>
    withTempFolder(async (folder) => {
      const log = await openAuditLog({ folder });
      await assert.rejects(openAuditLog({ folder }), /another process has it/);
      await log.close();
      await (await openAuditLog({ folder })).close();
    }),
);

testWith(
  needs,
  "append() refuses everything once the log cannot be written, and says so for good",
  () =>
    withTempFolder(async (folder) => {
      const log = await openAuditLog({ folder, maxFileBytes: 1 });
      await log.append(entry(1));
      // Where the next file should be is a folder.
      await Deno.mkdir(join(folder, "audit-000000000002.jsonl"));
      await assert.rejects(log.append(entry(2)), /Cannot write the audit log/);
      await assert.rejects(log.failed, /Cannot write the audit log/);
      await assert.rejects(log.append(entry(3)), /Cannot write the audit log/);
      await log.close();
    }),
);

testWith(
  needs,
  "close() writes what is queued, and nothing is written behind it: another may have the log by then",
  () =>
    withTempFolder(async (folder) => {
      const log = await openAuditLog({ folder });
      const queued = log.append(entry(1));
      const closed = log.close();
      await queued;
      await closed;
      await assert.rejects(log.append(entry(2)), /is closed/);
      const verdict = await verifyAuditLog(folder);
      assert.deepEqual([verdict.ok, verdict.entries], [true, 1]);
    }),
);

testWith(
  needs,
  "openAuditLog() with sync has each write on the disk, and each new name; without, none",
  () =>
    withTempFolder(async (folder) => {
      const prototype = Deno.FsFile.prototype;
      const { sync, syncData } = prototype;
      const calls: string[] = [];
      prototype.sync = function () {
        calls.push("name");
        return sync.call(this);
      };
      prototype.syncData = function () {
        calls.push("entry");
        return syncData.call(this);
      };
      try {
        // Each entry fills its file: the next is in one of its own.
        for (
          const [name, options, expected] of [
            ["sync", { sync: true, maxFileBytes: 1 }, ["name", "entry", "name", "entry"]],
            ["one-file", { sync: true }, ["name", "entry", "entry"]],
            ["again", { sync: true, folder: "one-file" }, ["entry", "entry"]],
            ["neither", { sync: false, maxFileBytes: 1 }, []],
            ["default", {}, []],
          ] as const
        ) {
          const path = join(folder, "folder" in options ? options.folder : name);
          const log = await openAuditLog({ ...options, folder: path });
          calls.length = 0;
          await log.append(entry(1));
          await log.append(entry(2));
          await log.close();
          assert.deepEqual(calls, Deno.build.os === "windows" ? calls : expected, name);
        }
      } finally {
        Object.assign(prototype, { sync, syncData });
      }
    }),
);

testWith(
  needs,
  "audit log begins a new file when the last is as long as it may be, no sooner",
  () =>
    withTempFolder(async (folder) => {
      const [only] = await written(join(folder, "one"), 1);
      const { size } = await Deno.stat(join(folder, "one", only!));
      assert.equal((await written(join(folder, "full"), 2, size)).length, 2);
      assert.equal((await written(join(folder, "room"), 2, size + 1)).length, 1);
    }),
);

testWith(
  needs,
  "openAuditLog() says which folder, and why not",
  () =>
    withTempFolder(async (folder) => {
      await assert.rejects(openAuditLog({ folder, maxFileBytes: 0 }), {
        name: "RangeError",
        message: /Cannot open an audit log.*maxFileBytes/,
      });
      const file = join(folder, "file");
      await Deno.writeTextFile(file, "");
      await assert.rejects(openAuditLog({ folder: join(file, "audit") }), {
        name: "StartError",
        message: new RegExp(`^Cannot keep the audit log in ${file}/audit: .`),
      });
      const [name] = await written(folder, 1);
      await Deno.writeTextFile(join(folder, name!), "no entry\n");
      await assert.rejects(openAuditLog({ folder }), {
        name: "StartError",
        message: new RegExp(`^Cannot go on with the audit log in ${folder}: .`),
      });
    }),
);
