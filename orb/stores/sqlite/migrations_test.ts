import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { testWith } from "../../../service/testing/permissions.ts";
import { withTempFolder } from "../../../service/testing/temp_folder.ts";
import { migrate, schemaVersion } from "./migrations.ts";

function migrationTest(name: string, run: (path: string) => void): void {
  testWith(["read", "write"], `sqlite schema: ${name}`, () =>
    withTempFolder((folder) => {
      run(join(folder, "orb.sqlite"));
      return Promise.resolve();
    }));
}

function version(database: DatabaseSync): unknown {
  return database.prepare("PRAGMA user_version").get()?.user_version;
}

/** The file as v1 alone made it, with a token. */
function makeFirstVersion(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec(`
    CREATE TABLE tokens (seq INTEGER PRIMARY KEY, sha256 BLOB NOT NULL) STRICT;
    INSERT INTO tokens VALUES (1, zeroblob(32));
    PRAGMA user_version = 1;
  `);
  return database;
}

migrationTest("a file of version 1 keeps its tokens and gets the rest, once", (path) => {
  const database = makeFirstVersion(path);
  for (let time = 0; time < 2; time++) {
    migrate(database, path);
    assert.equal(version(database), schemaVersion);
    assert.equal(database.prepare("SELECT count(*) AS n FROM tokens").get()?.n, 1);
    assert.equal(database.prepare("SELECT count(*) AS n FROM signup_counts").get()?.n, 6);
    assert.equal(database.prepare("SELECT value FROM counters").get()?.value, 1);
  }
  assert.equal(database.isTransaction, false);
  database.close();
});

migrationTest("one that cannot be brought up to date stays as it was", (path) => {
  const database = makeFirstVersion(path);
  // In the way of the last table.
  database.exec("CREATE TABLE documents (a)");
  assert.throws(() => migrate(database, path), /table documents already exists/);
  assert.equal(database.isTransaction, false);
  assert.equal(version(database), 1);
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  assert.deepEqual(tables.map(({ name }) => name), ["tokens", "documents"]);
  database.close();
});

migrationTest("a token is 32 bytes, a state one of those that there are", (path) => {
  const database = new DatabaseSync(path);
  migrate(database, path);
  assert.throws(() => database.exec("INSERT INTO tokens VALUES (1, zeroblob(31))"), /CHECK/);
  assert.throws(
    () => database.exec("INSERT INTO signup_counts VALUES ('queued', 1)"),
    /UNIQUE/,
  );
  database.close();
});
