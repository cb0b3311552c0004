import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { testWith } from "../../service/testing/permissions.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";
import type { Mailbox, MailboxOptions } from "./mailbox.ts";
import { MemoryMailbox } from "./memory_mailbox.ts";
import { SqliteMailbox, stableAfterMs } from "./sqlite_mailbox.ts";

/** One suite for both: whatever keeps the answers, this is what it must do. */
const kinds: readonly {
  name: string;
  permissions: Deno.PermissionName[];
  open: (folder: string, options?: MailboxOptions) => Mailbox;
}[] = [
  { name: "memory", permissions: [], open: (_, options) => new MemoryMailbox(options) },
  {
    name: "SQLite",
    permissions: ["read", "write"],
    open: (folder, options) => new SqliteMailbox(join(folder, "mailbox.sqlite"), options),
  },
];

const id = (text: string) => new TextEncoder().encode(text);

for (const { name, permissions, open } of kinds) {
  const testMailbox = (
    what: string,
    run: (mailbox: Mailbox, clock: { ms: number }) => void,
    options: MailboxOptions = {},
  ): void => {
    testWith(permissions, `${name} mailbox ${what}`, async () => {
      const folder = permissions.length > 0 ? await Deno.makeTempDir() : "";
      const clock = { ms: 1_000_000 };
      const mailbox = open(folder, { world: { nowMs: () => clock.ms }, ...options });
      try {
        run(mailbox, clock);
      } finally {
        mailbox.close();
        if (folder) await Deno.remove(folder, { recursive: true });
      }
    });
  };

  testMailbox("gives a client what was kept for it, the oldest first", (mailbox) => {
    mailbox.put("alice", { run: "r", seq: 7, requestId: id("seven") });
    mailbox.put("bob", { run: "r", seq: 1, requestId: id("other") });
    mailbox.put("alice", { run: "r", seq: 3, requestId: id("three") });
    assert.deepEqual(mailbox.waiting("alice"), [
      { run: "r", seq: 7, requestId: id("seven") },
      { run: "r", seq: 3, requestId: id("three") },
    ]);
    assert.ok(mailbox.has("alice", "r", 3));
    assert.ok(!mailbox.has("alice", "r", 4));
    assert.ok(!mailbox.has("alice", "r", 9));
    assert.ok(!mailbox.has("bob", "s", 1));
    assert.deepEqual(mailbox.size(), { answers: 3, bytes: 15, clients: 2 });
  });

  testMailbox("forgets what the client has, of this run and of earlier ones", (mailbox) => {
    for (const run of ["old", "new"]) {
      for (let seq = 0; seq < 4; seq++) mailbox.put("a", { run, seq, requestId: id("x") });
    }
    mailbox.ackBelow("a", "new", 3);
    assert.deepEqual(mailbox.waiting("a").map(({ run, seq }) => `${run} ${seq}`), [
      "old 0",
      "old 1",
      "old 2",
      "old 3",
      "new 3",
    ]);
    mailbox.ackOtherRuns("a", "new");
    mailbox.ackBelow("a", "new", 4);
    assert.deepEqual(mailbox.size(), { answers: 0, bytes: 0, clients: 0 });
    assert.equal(mailbox.dropped, 0);
  });

  testMailbox("keeps an answer once, however often it is put", (mailbox) => {
    mailbox.put("a", { run: "r", seq: 1, requestId: id("first") });
    mailbox.put("a", { run: "r", seq: 1, requestId: id("second") });
    assert.deepEqual(mailbox.waiting("a").map((kept) => kept.requestId), [id("second")]);
    assert.deepEqual(mailbox.size(), { answers: 1, bytes: 6, clients: 1 });
  });

  testMailbox("drops a client's oldest beyond its count", (mailbox) => {
    for (let seq = 0; seq < 5; seq++) mailbox.put("a", { run: "r", seq, requestId: id("x") });
    mailbox.put("b", { run: "r", seq: 0, requestId: id("x") });
    assert.deepEqual(mailbox.waiting("a").map(({ seq }) => seq), [2, 3, 4]);
    assert.equal(mailbox.waiting("b").length, 1);
    assert.equal(mailbox.dropped, 2);
  }, { maxAnswersPerClient: 3 });

  testMailbox("drops the oldest of all beyond its count and its bytes", (mailbox) => {
    for (let client = 0; client < 6; client++) {
      mailbox.put(String(client), { run: "r", seq: 0, requestId: id("four") });
    }
    assert.deepEqual(mailbox.size(), { answers: 4, bytes: 16, clients: 4 });
    mailbox.put("big", { run: "r", seq: 0, requestId: id("x".repeat(17)) });
    assert.deepEqual(mailbox.size(), { answers: 1, bytes: 17, clients: 1 });
    assert.equal(mailbox.dropped, 6);
  }, { maxAnswers: 4, maxBytes: 20 });

  testMailbox("drops what is too old", (mailbox, clock) => {
    mailbox.put("a", { run: "r", seq: 0, requestId: id("x") });
    clock.ms += 600;
    mailbox.put("a", { run: "r", seq: 1, requestId: id("x") });
    clock.ms += 400;
    mailbox.expire();
    assert.deepEqual(mailbox.waiting("a").map(({ seq }) => seq), [1]);
    assert.equal(mailbox.dropped, 1);
  }, { maxAgeMs: 1_000 });
}

testWith(
  ["read", "write"],
  "SQLite mailbox outlives its process and rolls back half a batch",
  async () => {
    const folder = await Deno.makeTempDir();
    const path = join(folder, "mailbox.sqlite");
    const before = new SqliteMailbox(path);
    before.put("a", { run: "r", seq: 1, requestId: id("kept") });
    assert.throws(() =>
      before.batch(() => {
        before.put("a", { run: "r", seq: 2, requestId: id("half") });
        throw new Error("interrupted");
      }), /interrupted/);
    assert.deepEqual(before.size(), { answers: 1, bytes: 4, clients: 1 });
    // Opened a second time before the first is closed: nothing waits in memory.
    const after = new SqliteMailbox(path);
    assert.deepEqual(after.waiting("a"), [{ run: "r", seq: 1, requestId: id("kept") }]);
    assert.deepEqual(after.size(), { answers: 1, bytes: 4, clients: 1 });
    before.close();
    after.close();
    await Deno.remove(folder, { recursive: true });
  },
);

testWith(
  ["read", "write"],
  "SqliteMailbox refuses a file that is no database, and says what to do",
  async () => {
    const path = await Deno.makeTempFile();
    await Deno.writeTextFile(path, "certainly no database, but long enough to be one".repeat(40));
    assert.throws(() => new SqliteMailbox(path), /Cannot keep the mailbox in .*--mailbox/);
    await Deno.remove(path);
  },
);

testWith(
  ["read", "write"],
  "SQLite mailbox does nothing once it is closed: a session may end behind its server",
  async () => {
    const folder = await Deno.makeTempDir();
    const path = join(folder, "mailbox.sqlite");
    const states: unknown[] = [];
    const mailbox = new SqliteMailbox(path, { onState: (state) => states.push(state) });
    mailbox.put("a", { run: "r", seq: 1, requestId: id("kept") });
    mailbox.close();
    mailbox.batch(() => mailbox.ackBelow("a", "r", Number.MAX_SAFE_INTEGER));
    mailbox.expire();
    assert.deepEqual(mailbox.waiting("a"), []);
    assert.deepEqual(states, []);
    const after = new SqliteMailbox(path);
    assert.equal(after.waiting("a").length, 1);
    after.close();
    await Deno.remove(folder, { recursive: true });
  },
);

testWith(
  ["read", "write"],
  "memory and SQLite mailbox agree after each of thousands of steps, whatever is done to them",
  () => {
    const world = new VirtualWorld({ seed: 1 });
    const bounds = { maxAnswersPerClient: 4, maxAnswers: 9, maxBytes: 60, maxAgeMs: 50 };
    const clock = { ms: 0 };
    const options = { ...bounds, world: { nowMs: () => clock.ms } };
    const memory = new MemoryMailbox(options);
    const sqlite = new SqliteMailbox(":memory:", options);
    const clients = ["a", "b", "c"];
    const below = (limit: number) => Math.floor(world.random() * limit);
    const steps: readonly ((mailbox: Mailbox, draw: readonly number[]) => void)[] = [
      ...Array<(mailbox: Mailbox, draw: readonly number[]) => void>(5).fill(
        (mailbox, [client, run, seq, bytes]) =>
          mailbox.put(clients[client!]!, {
            ...{ run: `r${run}`, seq: seq! },
            requestId: new Uint8Array(bytes!).fill(seq!),
          }),
      ),
      (mailbox, [client, run, seq]) => mailbox.ackBelow(clients[client!]!, `r${run}`, seq!),
      (mailbox, [client, run]) => mailbox.ackOtherRuns(clients[client!]!, `r${run}`),
      (mailbox) => mailbox.expire(),
    ];
    const state = (mailbox: Mailbox) => ({
      size: mailbox.size(),
      dropped: mailbox.dropped,
      waiting: clients.map((client) => mailbox.waiting(client)),
      has: clients.flatMap((client) =>
        [0, 1, 2, 3].flatMap((run) =>
          [0, 1, 5, 9].map((seq) => mailbox.has(client, `r${run}`, seq))
        )
      ),
    });
    for (let step = 0; step < 3_000; step++) {
      clock.ms += below(8);
      const doStep = steps[below(steps.length)]!;
      const draw = [below(3), below(4), below(10), below(25)];
      for (const mailbox of [memory, sqlite]) doStep(mailbox, draw);
      assert.deepEqual(state(memory), state(sqlite), `step ${step}`);
    }
    assert.ok(memory.dropped > 500);
    memory.close();
    sqlite.close();
  },
);

Deno.test("a mailbox refuses bounds that would keep nothing, by their name", () => {
  for (const name of ["maxAnswersPerClient", "maxAnswers", "maxBytes", "maxAgeMs"]) {
    for (const value of [0, -1, NaN]) {
      assert.throws(
        () => new MemoryMailbox({ [name]: value }),
        new RegExp(`Cannot keep answers as '${name}' must be above 0: current value is ${value}`),
      );
    }
    new MemoryMailbox({ [name]: 1 });
  }
});

testWith(
  ["read", "write"],
  "SQLite mailbox says once that its file takes nothing, counts what is lost, and says when it has worked for a while",
  () =>
    withTempFolder((folder) => {
      const path = join(folder, "mailbox.sqlite");
      const clock = { ms: 1_000_000 };
      const states: ("ok" | { reason: string })[] = [];
      const mailbox = new SqliteMailbox(path, {
        world: { nowMs: () => clock.ms },
        onState: (state) => states.push(state),
      });
      const beside = new DatabaseSync(path);
      const put = (seq: number) => mailbox.put("a", { run: "r", seq, requestId: id("four") });
      put(1);
      assert.deepEqual(states, [], "what always works is no news");
      beside.exec(
        "CREATE TRIGGER full BEFORE INSERT ON kept_answers BEGIN SELECT raise(ABORT, 'it is full'); END",
      );
      put(2);
      clock.ms += 100;
      put(3);
      assert.equal(mailbox.dropped, 2);
      assert.deepEqual(states, [{ reason: "it is full" }]);
      assert.deepEqual(mailbox.size(), { answers: 1, bytes: 4, clients: 1 });

      beside.exec("DROP TRIGGER full");
      clock.ms += stableAfterMs - 1;
      put(4);
      assert.equal(states.length, 1, "not yet: some writes find room on a disk that is full");
      clock.ms += 1;
      mailbox.batch(() => {
        put(5);
        assert.equal(states.length, 1, "it is kept when the batch is");
      });
      put(6);
      assert.deepEqual(states.slice(1), ["ok"]);
      assert.deepEqual(mailbox.waiting("a").map(({ seq }) => seq), [1, 4, 5, 6]);
      assert.equal(mailbox.dropped, 2);

      // Not even to be read: what is asked for is nothing, and it is counted when it works again.
      beside.exec("ALTER TABLE kept_answers RENAME TO elsewhere");
      assert.deepEqual(mailbox.waiting("a"), []);
      assert.equal(mailbox.has("a", "r", 1), false);
      assert.equal(mailbox.size().clients, 0);
      assert.match(JSON.stringify(states.at(-1)), /no such table/);
      beside.exec("ALTER TABLE elsewhere RENAME TO kept_answers");
      assert.deepEqual(mailbox.size(), { answers: 4, bytes: 16, clients: 1 });
      mailbox.close();
      beside.close();
      return Promise.resolve();
    }),
);

testWith(
  ["read", "write"],
  "SQLite mailbox hands on a mistake of ours, and needs nobody to hear",
  () => {
    const mailbox = new SqliteMailbox(":memory:");
    const wrong = { run: "r", seq: {} as number, requestId: id("x") };
    assert.throws(() => mailbox.put("a", wrong), TypeError);
    assert.deepEqual(mailbox.size(), { answers: 0, bytes: 0, clients: 0 });
    assert.equal(mailbox.batch(() => 7), 7);
    assert.equal(
      mailbox.batch(() => {
        mailbox.close();
        return "closed meanwhile";
      }),
      "closed meanwhile",
    );
  },
);
