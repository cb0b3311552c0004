/**
 * What is acknowledged is on the disk: the system was asked to put it there, after the last byte of it was
 * written and before anybody was told. No test from outside could tell, as long as the power stays on.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type SystemCall, systemCalls } from "../stack/strace.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

/** The calls that were made between the two marks of a step. */
function stepsOf(calls: readonly SystemCall[]): Map<string, SystemCall[]> {
  const steps = new Map<string, SystemCall[]>();
  const marks = calls.flatMap((call) => {
    const [, edge, name] = /^1<.*>, "(begin|end) (.*)\\n"/.exec(call.args) ?? [];
    return edge && name ? [{ edge, name, call }] : [];
  });
  for (const { name, call: begin } of marks.filter(({ edge }) => edge === "begin")) {
    const { call: end } = marks.find((one) => one.edge === "end" && one.name === name)!;
    steps.set(
      name,
      calls.filter(({ began, returned }) => began > begin.began && returned < end.began),
    );
  }
  return steps;
}

const isSync = ({ name }: SystemCall) => name === "fsync" || name === "fdatasync";
const isWrite = ({ name }: SystemCall) => /write/.test(name);
/** The path behind a call's descriptor. */
const pathOf = ({ args }: SystemCall) => /^\d+<([^>]*)>/.exec(args)?.[1] ?? "";

/** Syncs of a file that came after the last byte of it. */
function syncsOf(calls: readonly SystemCall[], path: RegExp): SystemCall[] {
  const ofFile = calls.filter((call) => path.test(pathOf(call)));
  const lastWrite = ofFile.findLast(isWrite);
  assert.ok(lastWrite, `${path} was not written`);
  return ofFile.filter((call) => isSync(call) && call.began > lastWrite.returned);
}

/** Names that were given to files that were whole on the disk, with their folder's name on the disk before the end. */
function wholeFiles(calls: readonly SystemCall[]): string[] {
  return calls.filter(({ name }) => name.startsWith("rename")).map((rename) => {
    const [from, to] = [...rename.args.matchAll(/"([^"]+)"/g)].map(([, path]) => path!);
    const before = calls.filter(({ returned }) => returned < rename.began);
    assert.ok(
      syncsOf(before, new RegExp(`${from!.slice(-30)}$`)).length > 0,
      `${to} was not on the disk when it got its name`,
    );
    const folder = to!.slice(0, to!.lastIndexOf("/"));
    assert.ok(
      calls.some((call) => isSync(call) && pathOf(call) === folder && call.began > rename.returned),
      `the name ${to} is not on the disk`,
    );
    return to!.slice(to!.lastIndexOf("/") + 1);
  });
}

testWithStack("what is acknowledged is on the disk", async () => {
  const folder = await Deno.makeTempDir({ prefix: "durability-" });
  try {
    const fixture = new URL("./durability_fixture.ts", import.meta.url).pathname;
    const calls = await systemCalls(
      [Deno.execPath(), "run", "-A", "--no-check", fixture, folder],
      ["write", "pwrite64", "writev", "pwritev", "fsync", "fdatasync"]
        .concat("?rename", "renameat", "renameat2"),
    );
    const steps = stepsOf(calls);
    const synced = (name: string, path: RegExp) =>
      assert.ok(syncsOf(steps.get(name)!, path).length > 0, `${name} is not on the disk`);
    for (const which of [1, 2]) synced(`token ${which}`, /tokens\.sqlite-wal$/);
    for (const which of ["a", "b"]) synced(`spooled ${which}`, /spool\.sqlite-wal$/);
    synced("unspooled a", /spool\.sqlite-wal$/);
    for (const which of [1, 2]) synced(`image ${which}`, /\/data\/segments\//);
    for (const which of ["a", "b"]) {
      synced(`power-loss ${which}`, /power-loss\.sqlite-wal$/);
      synced(`signature ${which} synced`, /audit-\d+\.jsonl$/);
      // What asks for less gets less: so the others do not get it by chance.
      assert.equal(syncsOf(steps.get(`process-end ${which}`)!, /-wal$/).length, 0);
      assert.equal(syncsOf(steps.get(`signature ${which} unsynced`)!, /\.jsonl$/).length, 0);
    }
    const ofFolder = (call: SystemCall) => isSync(call) && /\/synced\/audit$/.test(pathOf(call));
    assert.ok(steps.get("signature a synced")!.some(ofFolder), "the log's first file has no name");
    assert.deepEqual(wholeFiles(steps.get("device keys")!), [
      "private.jwks.json",
      "public.jwks.json",
    ]);
    const versions = (name: string) =>
      wholeFiles(steps.get(name)!).map((file) => file.replace(/-.{8}\.jwk/, ""));
    assert.deepEqual(versions("rotation"), ["v0002.json", "v0001.json"], "first the new one");
    assert.deepEqual(versions("retirement"), ["v0001.json"]);
    assert.deepEqual(versions("revocation"), [
      ...["v0003.json", "v0002.json", "v0002.json", "revocations.json"],
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
