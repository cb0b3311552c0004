import { type RunningPostgresql, startPostgresql } from "../../../stack/postgresql.ts";
import { testWithStack } from "../../../stack/test_with_stack.ts";
import { recordSuite } from "../record_suite.ts";

// Imported when they are needed: the client library reads the environment when it connects.
const load = () => import("./postgres_backend.ts");

/** One server for the whole suite, from the first test that wants it to the end of the file. */
let postgresql: RunningPostgresql | undefined;
let databases = 0;

/** The address of an empty database. */
async function newDatabase(): Promise<string> {
  postgresql ??= await startPostgresql();
  // @ts-types="./pg.d.ts"
  const { default: pg } = await import("pg");
  const name = `orb_suite_${++databases}`;
  const admin = new pg.Client(postgresql.databaseUrl);
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.end();
  return postgresql.databaseUrl.replace(/[^/]*$/, name);
}

recordSuite({
  name: "postgresql",
  isShared: true,
  async open() {
    const databaseUrl = await newDatabase();
    const { openPostgresBackend } = await load();
    const again = () => openPostgresBackend({ databaseUrl });
    return { backend: await again(), again };
  },
  test: (name, run) => testWithStack(name, run),
});

Deno.test.afterAll(async () => await postgresql?.stop());
