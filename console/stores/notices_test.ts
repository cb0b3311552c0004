import assert from "node:assert/strict";
import { type Notice, NoticeTable } from "./notices.ts";

function notice(given: Partial<Notice> = {}): Notice {
  return {
    signal: "traces",
    sender: "shop",
    reason: "invalid_trace_id",
    detail: "trace_id must be 16 bytes",
    count: 1,
    example: "GET /",
    ...given,
  };
}

Deno.test("NoticeTable says the first notice of a kind, then once a minute with what came since", () => {
  const said: string[] = [];
  const notices = new NoticeTable();
  notices.say = ({ sender, reason, count, example }) =>
    said.push(`${sender} ${reason} ${count} ${example}`);
  for (let second = 0; second <= 120; second++) notices.add(notice(), second * 1_000);
  notices.add(notice({ sender: "web", example: "last" }), 120_000);
  assert.deepEqual(said, [
    "shop invalid_trace_id 1 GET /",
    "shop invalid_trace_id 60 GET /",
    "shop invalid_trace_id 60 GET /",
    "web invalid_trace_id 1 last",
  ]);
  assert.deepEqual(notices.rows().map(({ sender, count }) => [sender, count]), [
    ["web", 1],
    ["shop", 121],
  ]);
});

Deno.test("NoticeTable keeps 200 rows, however many senders there are", () => {
  const notices = new NoticeTable();
  for (let i = 0; i < 1_000; i++) notices.add(notice({ sender: `s${i}` }), i);
  assert.equal(notices.rows().length, 200);
  assert.equal(notices.rows()[0]!.sender, "s999");
  // Heard of again, the oldest is the latest; the one behind it makes room.
  notices.add(notice({ sender: "s800" }), 1_000);
  notices.add(notice({ sender: "new" }), 1_001);
  const senders = notices.rows().map(({ sender }) => sender);
  assert.deepEqual(senders.slice(0, 3), ["new", "s800", "s999"]);
  assert.equal(senders.at(-1), "s802");
});
