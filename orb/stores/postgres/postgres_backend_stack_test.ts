import { startPostgresql } from "../../../stack/postgresql.ts";
import { sharedComponent } from "../../../stack/test_with_stack.ts";
import { recordSuite } from "../record_suite.ts";

// Imported when they are needed: the client library reads the environment when it connects.
const load = () => import("./postgres_backend.ts");

const server = sharedComponent(startPostgresql);
let databases = 0;

/** The address of an empty database. */
async function newDatabase(): Promise<string> {
  const postgresql = await server.get();
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
  test: server.test,
});
