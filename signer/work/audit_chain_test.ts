import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { join } from "node:path";
import { testWith } from "../../service/testing/permissions.ts";
import {
  type AuditEntry,
  auditFileName,
  auditFiles,
  auditGenesis,
  auditLine,
  checkAuditLine,
  verifyAuditLog,
} from "./audit_chain.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";

const entry: AuditEntry = {
  ...{ msgId: "m", actor: "ann", respTopic: "mine", digest: "d" },
  ...{ algorithm: "ed25519", keyId: "k" },
};

Deno.test("auditLine() writes what a person and a program can read, and its hash is of what stands before it", () => {
  const { text, hash: head } = auditLine(entry, { seq: 7, prev: "p" }, 1_500);
  const line = JSON.parse(text);
  assert.deepEqual(line, {
    ...{ seq: 7, time: "1970-01-01T00:00:01.500Z", actor: "ann", digest: "d", alg: "ed25519" },
    ...{ kid: "k", msg_id: "m", resp_topic: "mine", prev: "p", hash: head },
  });
  assert.ok(text.endsWith(`,"hash":"${head}"}\n`));
  assert.equal(head, hash("sha256", text.replace(`,"hash":"${head}"}\n`, "}"), "hex"));
  assert.deepEqual(checkAuditLine(text.trimEnd()), { seq: 7, prev: "p", hash: head });
});

Deno.test("auditLine() of a revocation has its key, reason and time", () => {
  const { text, hash: head } = auditLine(
    { event: "key-revoked", actor: "bob", keyId: "k", reason: "stolen", revokedAt: "then" },
    { seq: 1, prev: auditGenesis },
    0,
  );
  assert.deepEqual(JSON.parse(text), {
    ...{ seq: 1, time: "1970-01-01T00:00:00.000Z", event: "key-revoked", actor: "bob", kid: "k" },
    ...{ reason: "stolen", revoked_at: "then", prev: "0".repeat(64), hash: head },
  });
});

/** A line with a right hash, whatever is in it. */
function sealed(json: string): string {
  return `${json.slice(0, -1)},"hash":"${hash("sha256", json, "hex")}"}`;
}

Deno.test("checkAuditLine() refuses what is no entry, was touched, or lacks its links", () => {
  const good = auditLine(entry, { seq: 1, prev: "p" }, 0).text.trimEnd();
  const cases: [line: string, problem: RegExp][] = [
    ["", /not an entry/],
    ["{}", /not an entry/],
    [`x${good}`, /not an entry/],
    [`${good}x`, /not an entry/],
    [good.replace("ann", "eve"), /does not have the hash/],
    [sealed('{"seq":"1","prev":"p"}'), /lacks seq or prev/],
    [sealed('{"seq":1,"prev":null}'), /lacks seq or prev/],
    [sealed('{"seq":1}'), /lacks seq or prev/],
  ];
  for (const [line, problem] of cases) assert.throws(() => checkAuditLine(line), problem, line);
});

testWith(
  ["read", "write"],
  "auditFiles() are the log's, in order, and nothing else",
  () =>
    withTempFolder(async (folder) => {
      const names = [auditFileName(1_000_000), auditFileName(7), auditFileName(30)];
      const others = [".lock", "audit-1.jsonl", `x${names[0]}`, `${names[0]}.torn-1`, "notes.txt"];
      for (const name of [...names, ...others]) await Deno.writeTextFile(join(folder, name), "");
      assert.deepEqual(await auditFiles(folder), [
        ...["audit-000000000007.jsonl", "audit-000000000030.jsonl", "audit-000001000000.jsonl"],
      ]);
    }),
);

testWith(
  ["read", "write"],
  "verifyAuditLog() says which line of which file is wrong, and how",
  () =>
    withTempFolder(async (folder) => {
      assert.deepEqual(await verifyAuditLog(folder), { ok: true, entries: 0, head: auditGenesis });
      assert.ok((await verifyAuditLog(folder, auditGenesis)).ok);
      const { problem: missing, ...nowhere } = await verifyAuditLog(folder, "x") as {
        problem: string;
      };
      assert.match(missing, /entries are missing at the end/);
      assert.deepEqual(nowhere, { ok: false, entries: 0, file: "", line: 0 });
      const first = auditLine(entry, { seq: 1, prev: auditGenesis }, 0);
      const second = auditLine(entry, { seq: 2, prev: first.hash }, 0);
      const [one, two] = [1, 2].map((seq) => join(folder, auditFileName(seq)));
      await Deno.writeTextFile(one!, first.text);
      const verdictWith = async (text: string, expectHead?: string) => {
        await Deno.writeTextFile(two!, text);
        return await verifyAuditLog(folder, expectHead);
      };
      assert.deepEqual(await verdictWith(second.text), { ok: true, entries: 2, head: second.hash });
      for (const head of [auditGenesis, first.hash, second.hash]) {
        assert.ok((await verdictWith(second.text, head)).ok, head);
      }
      assert.deepEqual(await verdictWith(second.text, "elsewhere"), {
        ...{ ok: false, entries: 2, file: "audit-000000000002.jsonl", line: 1 },
        problem:
          "the chain is whole, but the expected head elsewhere is not in it: entries are missing at the end",
      });
      const wrong: [text: string, problem: RegExp][] = [
        [
          auditLine(entry, { seq: 2, prev: auditGenesis }, 0).text,
          /does not follow the line before/,
        ],
        [auditLine(entry, { seq: 3, prev: first.hash }, 0).text, /its number is 3, not 2/],
        [second.text.trimEnd().slice(0, -1), /not an entry/],
        [`\n${second.text}`, /not an entry/],
      ];
      for (const [text, problem] of wrong) {
        const { problem: said, ...where } = await verdictWith(text) as { problem: string };
        assert.match(said, problem);
        assert.deepEqual(where, {
          ...{ ok: false, entries: 1, file: "audit-000000000002.jsonl", line: 1 },
        });
      }
    }),
);
