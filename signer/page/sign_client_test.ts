import assert from "node:assert/strict";
import { virtualPlatform } from "../../service/page/test_platform.ts";
import { drainMicrotasks, VirtualWorld } from "../../service/world/virtual_world.ts";
import { SignClient, type SignOutcome, type WebSocketLike } from "./sign_client.ts";

class FakeSocket implements WebSocketLike {
  readyState = 0;
  readonly sent: { id: number; message: string }[] = [];
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {
    this.readyState = 3;
  }
  opened(): void {
    this.readyState = 1;
    this.onopen?.(new Event("open"));
  }
  answer(value: unknown): void {
    this.onmessage?.(new MessageEvent("message", { data: JSON.stringify(value) }));
  }
  broken(): void {
    this.readyState = 3;
    this.onclose?.(new CloseEvent("close"));
  }
}

/** A client that is connected, in virtual time, to a signer that is alive until it is said not to be. */
function scene() {
  const world = new VirtualWorld();
  const sockets: FakeSocket[] = [];
  const signer = { isAlive: true };
  const client = new SignClient({
    open() {
      sockets.push(new FakeSocket());
      return sockets.at(-1)!;
    },
    ask: () => signer.isAlive ? Promise.resolve() : Promise.reject(new Error("no answer")),
    platform: virtualPlatform(world),
  });
  client.start();
  sockets[0]!.opened();
  return { world, sockets, signer, client, state: () => client.state.value.kind };
}

const signed = { signature: "c2ln", algorithm: "ed25519", keyId: "k" };
const titleOf = (outcome: SignOutcome) => "error" in outcome ? outcome.error.title : "signed";

Deno.test("SignClient gives each message its answer, in whatever order they come", async () => {
  const { client, sockets: [socket] } = scene();
  const [a, b] = [client.sign("a"), client.sign("b")];
  assert.deepEqual(socket!.sent.map(({ message }) => message), ["a", "b"]);
  socket!.answer({ id: 2, ok: signed });
  socket!.answer({ id: 1, error: { type: "overloaded", title: "Overloaded", detail: "" } });
  socket!.answer({ id: null, error: { type: "invalid", title: "Invalid", detail: "" } });
  assert.deepEqual([titleOf(await a), titleOf(await b)], ["Overloaded", "signed"]);
});

Deno.test("SignClient stops waiting when a person cancels, and when the time is up", async () => {
  const { client, world, sockets: [socket] } = scene();
  const cancel = new AbortController();
  const cancelled = client.sign("a", { cancelled: cancel.signal, timeoutMs: 6_000 });
  const late = client.sign("b", { timeoutMs: 6_000 });
  cancel.abort();
  assert.equal(titleOf(await cancelled), "Cancelled");
  await world.advance(6_000);
  const outcome = await late;
  assert.ok("error" in outcome);
  assert.match(outcome.error.detail, /Nothing came in 6 s\. It may have been signed/);
  // Answers that come all the same are nobody's.
  socket!.answer({ id: 1, ok: signed });
  socket!.answer({ id: 2, ok: signed });
});

Deno.test("SignClient ends what is under way when the connection is lost, and comes back", async () => {
  const { client, world, sockets, state } = scene();
  const underWay = client.sign("a", { timeoutMs: 6_000 });
  sockets[0]!.broken();
  assert.equal(titleOf(await underWay), "Connection lost");
  assert.equal(titleOf(await client.sign("b")), "Not sent");
  assert.equal(state(), "reconnecting");
  await world.advance(500);
  assert.equal(sockets.length, 2);
  sockets[1]!.opened();
  assert.equal(state(), "live");
});

Deno.test("SignClient is not live while the signer stands still, though its socket is open", async () => {
  const { client, world, signer, sockets: [socket], state } = scene();
  await world.advance(10_000);
  assert.equal(state(), "live");
  signer.isAlive = false;
  await world.advance(8_000);
  assert.equal(state(), "silent");
  // An answer is a sign of life as good as any.
  client.sign("a");
  socket!.answer({ id: 1, ok: signed });
  assert.equal(state(), "live");
  await world.advance(8_000);
  assert.equal(state(), "silent");
  signer.isAlive = true;
  await world.advance(3_000);
  await drainMicrotasks();
  assert.equal(state(), "live");
});
