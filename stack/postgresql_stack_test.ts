import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { startPostgresql } from "./postgresql.ts";
import { testWithStack } from "./test_with_stack.ts";

/** Carries out SQL as a client of its own; gives what it printed, or its complaint. */
async function psql(databaseUrl: string, sql: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("psql", {
    args: ["--no-psqlrc", "--tuples-only", "--no-align", "--command", sql, databaseUrl],
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return decoder.decode(success ? stdout : stderr).trim();
}

testWithStack(
  "postgresql keeps what was committed through kill -9, and lets in nobody without its password",
  async () => {
    const runFolder = await Deno.makeTempDir({ prefix: "postgresql-test-" });
    try {
      {
        await using first = await startPostgresql({ runFolder });
        await psql(first.databaseUrl, "create table greetings as select 'hello' as text");
        assert.equal(await psql(first.databaseUrl, "show fsync"), "on");

        const stranger = new URL(first.databaseUrl);
        stranger.password = "guess";
        assert.match(await psql(stranger.href, "select 1"), /password authentication failed/);
        assert.ok(!first.publicUrl.includes(new URL(first.databaseUrl).password));
        Deno.kill(first.pid, "SIGKILL");
        await first.exited;
      }
      await using again = await startPostgresql({ runFolder });
      assert.equal(await psql(again.databaseUrl, "select text from greetings"), "hello");
    } finally {
      await Deno.remove(runFolder, { recursive: true });
    }
  },
);

testWithStack(
  "postgresql stops at once although a client is connected, and leaves no process behind",
  async () => {
    await using postgresql = await startPostgresql({ stopTimeoutMs: 60_000 });
    const client = psql(postgresql.databaseUrl, "select pg_sleep(600)");
    // Once its session is there, a stop that waits for clients would wait for it.
    const sessions = "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%'";
    await eventually(
      "the session",
      async () => Number(await psql(postgresql.databaseUrl, sessions)) > 1 || undefined,
    );
    await postgresql.stop();
    assert.equal((await postgresql.exited).code, 0);
    assert.match(await client, /terminating connection/);
    assert.throws(() => Deno.kill(postgresql.pid, "SIGCONT"), Deno.errors.NotFound);
  },
);
