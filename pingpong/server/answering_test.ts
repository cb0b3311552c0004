import assert from "node:assert/strict";
import { metrics, trace } from "@opentelemetry/api";
import { FrameDecoder } from "../protocol/frames.ts";
import type { Message, Ping } from "../protocol/message.ts";
import { PingIds } from "../protocol/ping_ids.ts";
import type { AnswerSession } from "./answer_session.ts";
import { Answering } from "./answering.ts";
import { MemoryMailbox } from "./memory_mailbox.ts";

const alice = { name: "alice-01", run: "first-run" };
const ids = new PingIds();

function answering() {
  const mailbox = new MemoryMailbox();
  const tracer = trace.getTracer("test");
  return { mailbox, it: new Answering({ mailbox, tracer, meter: metrics.getMeter("test") }) };
}

function ping(seq: number, ackBelow = 0, more = {}): Ping {
  return { kind: "ping", id: ids.id(seq), data: "Ping!", extension: { seq, ackBelow, ...more } };
}

/** The numbers that these frames answer, with what comes from the mailbox marked. */
function answered(frames: Uint8Array[]): string[] {
  const messages: Message[] = [];
  for (const frame of frames) new FrameDecoder().push(frame, (message) => messages.push(message));
  return messages.map((message) => {
    assert.equal(message.kind, "pong");
    const seq = message.kind === "pong" ? ids.seq(message.requestId) : undefined;
    return `${seq}${message.extension?.fromMailbox ? " from mailbox" : ""}`;
  });
}

function begin(all: Answering, client = alice, closed: number[] = []): AnswerSession {
  return all.begin("webtransport", client, (code) => closed.push(code));
}

Deno.test("a ping sent twice in a session is answered once", () => {
  const { it } = answering();
  const session = begin(it);
  assert.deepEqual(answered(session.answer([ping(0), ping(1), ping(0)], "bidi")), ["0", "1"]);
  assert.deepEqual(answered(session.answer([ping(1)], "bidi")), []);
});

Deno.test("answers that were not acknowledged come first in the next session, and once", () => {
  const { it, mailbox } = answering();
  const broken = begin(it);
  broken.answer([ping(0), ping(1), ping(2, 1)], "bidi");
  broken.end(false);
  assert.equal(it.waiting(alice), 2);
  const next = begin(it);
  assert.deepEqual(answered(next.takeWaiting()), ["1 from mailbox", "2 from mailbox"]);
  assert.deepEqual(answered(next.takeWaiting()), []);
  // Sent again by the client before it saw them: on their way already.
  assert.deepEqual(answered(next.answer([ping(1, 1), ping(2, 1), ping(3, 3)], "bidi")), ["3"]);
  next.answer([ping(4, 4)], "bidi");
  assert.equal(mailbox.size().answers, 1);
});

Deno.test("a client that is done leaves nothing, one that died leaves its answers", () => {
  const { it, mailbox } = answering();
  const session = begin(it);
  session.answer([ping(0)], "uni");
  session.end(true);
  assert.equal(mailbox.size().answers, 0);
  const died = begin(it);
  died.answer([ping(1)], "uni");
  died.end(false);
  assert.equal(mailbox.size().answers, 1);
});

Deno.test("a new run gets the old one's answers until it says that it has them", () => {
  const { it, mailbox } = answering();
  const died = begin(it);
  died.answer([ping(0)], "bidi");
  died.end(false);
  const session = begin(it, { ...alice, run: "second-run" });
  assert.deepEqual(answered(session.takeWaiting()), ["0 from mailbox"]);
  session.answer([ping(0)], "bidi");
  assert.equal(mailbox.size().answers, 2, "not yet acknowledged");
  session.answer([ping(1, 1, { mailboxReceived: true })], "bidi");
  assert.equal(mailbox.size().answers, 1);
});

Deno.test("a second session of a client closes the first with 409", () => {
  const { it } = answering();
  const closed: number[] = [];
  begin(it, alice, closed);
  begin(it, { ...alice, run: "second-run" });
  assert.deepEqual(closed, [409]);
  begin(it, { name: "somebody-else", run: "second-run" });
  assert.deepEqual(closed, [409]);
});

Deno.test("who has no name is answered each time, and nothing is kept", () => {
  const { it, mailbox } = answering();
  const session = it.begin("websocket", undefined, () => {});
  assert.deepEqual(answered(session.answer([ping(0), ping(0)], "websocket")), ["0", "0"]);
  const plain: Ping = { kind: "ping", id: ids.id(7), data: "" };
  assert.deepEqual(answered(session.answer([plain], "websocket")), ["7"]);
  assert.equal(mailbox.size().answers, 0);
});

Deno.test("a pong is no question", () => {
  const { it } = answering();
  const pong: Message = { kind: "pong", id: ids.id(0), requestId: ids.id(0), data: "" };
  assert.deepEqual(begin(it).answer([pong], "bidi"), []);
});
