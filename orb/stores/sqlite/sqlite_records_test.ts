import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { testWith } from "../../../service/testing/permissions.ts";
import { SqliteRecords } from "./sqlite_records.ts";

/** Digests whose bytes are all the given number. */
function digests(...bytes: number[]): Uint8Array {
  const all = new Uint8Array(32 * bytes.length);
  bytes.forEach((byte, index) => all.fill(byte, 32 * index, 32 * (index + 1)));
  return all;
}

function open(path: string): SqliteRecords {
  return new SqliteRecords({ path, nowMs: () => 1_000 });
}

function insert(records: SqliteRecords, digests: Uint8Array): string[] {
  return records.apply(digests, []).tokens;
}

function databaseTest(name: string, run: (path: string) => void): void {
  testWith(["read", "write"], name, async () => {
    const folder = await Deno.makeTempDir();
    try {
      run(join(folder, "tokens.sqlite"));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

databaseTest("insert() tells new from duplicate, in one batch as well", (path) => {
  const database = open(path);
  assert.deepEqual(insert(database, digests(1, 2, 1)), ["new", "new", "duplicate"]);
  assert.deepEqual(insert(database, digests(3, 2)), ["new", "duplicate"]);
  assert.deepEqual(insert(database, digests(3)), ["duplicate"]);
  assert.equal(database.count, 3);
  database.close();
});

databaseTest("a database that is opened again knows every token, many of them too", (path) => {
  const many = crypto.getRandomValues(new Uint8Array(32 * 1_000));
  const first = open(path);
  for (let batch = 0; batch < 40; batch++) {
    crypto.getRandomValues(many);
    insert(first, many);
  }
  first.close();
  const second = open(path);
  assert.equal(second.count, 40_000);
  assert.ok(insert(second, many).every((result) => result === "duplicate"));
  second.close();
});

databaseTest("insert() is not fooled by digests that begin alike", (path) => {
  const twins = digests(1, 1, 1);
  twins[63] = 2;
  twins[95] = 3;
  const first = open(path);
  assert.deepEqual(insert(first, twins.slice(0, 64)), ["new", "new"]);
  first.close();
  const second = open(path);
  assert.deepEqual(insert(second, twins), ["duplicate", "duplicate", "new"]);
  second.close();
});

databaseTest("reset() forgets every token, durably", (path) => {
  const first = open(path);
  insert(first, digests(1, 2));
  first.apply(new Uint8Array(), [{ type: "reset" }]);
  assert.equal(first.count, 0);
  assert.deepEqual(insert(first, digests(2)), ["new"]);
  first.close();
  const second = open(path);
  assert.deepEqual(insert(second, digests(1, 2)), ["new", "duplicate"]);
  second.close();
});

databaseTest("a database is written ahead and synced fully", (path) => {
  const database = open(path);
  insert(database, digests(1));
  assert.ok(Deno.statSync(`${path}-wal`).size > 0);
  database.close();
  const plain = new DatabaseSync(path);
  assert.equal(plain.prepare("PRAGMA journal_mode").get()?.journal_mode, "wal");
  assert.deepEqual({ ...plain.prepare("SELECT seq, length(sha256) AS n FROM tokens").get() }, {
    seq: 1,
    n: 32,
  });
  plain.close();
});

databaseTest("a file that is open cannot be opened twice", (path) => {
  const database = open(path);
  assert.throws(() => open(path), /locked/);
  database.close();
});

databaseTest("a file that is no database, or of a later version, is refused", (path) => {
  Deno.writeTextFileSync(path, "this is no database, it is a text that is long enough".repeat(99));
  assert.throws(() => open(path), /not a database/);
  Deno.removeSync(path);
  const later = new DatabaseSync(path);
  later.exec("PRAGMA user_version = 99");
  later.close();
  assert.throws(() => open(path), /schema version 99 and this program knows up to 2/);
});

databaseTest(
  "a file that is deleted or replaced while it is open takes nothing: it would be lost",
  (path) => {
    for (const suffix of ["", "-wal"]) {
      for (const replaced of [false, true]) {
        const database = open(path);
        insert(database, digests(1));
        Deno.removeSync(path + suffix);
        if (replaced) Deno.writeTextFileSync(path + suffix, "");
        const what = replaced ? "was replaced" : "was deleted";
        const problem = new RegExp(`tokens\\.sqlite${suffix} ${what} while it is in use`);
        assert.throws(() => insert(database, digests(2)), problem);
        assert.throws(() => database.probe(), problem);
        assert.equal(database.count, 1, "nor is it believed to be there");
        database.close();
        for (const end of ["", "-wal", "-shm", ".lock"]) {
          try {
            Deno.removeSync(path + end);
          } catch (error) {
            if (!(error instanceof Deno.errors.NotFound)) throw error;
          }
        }
      }
    }
  },
);
