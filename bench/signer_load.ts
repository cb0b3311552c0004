#!/usr/bin/env -S deno run --allow-net
/**
 * The load of the signer's benchmarks, a process of its own: JSON sockets with many messages in
 * flight, or a steady rate. Prints one line of JSON.
 *
 * `signer_load.ts <ws url> <seconds> <sockets> <in flight a socket> [messages a second]`
 *
 * @module
 */
import { jsonProtocol } from "../signer/api/sign_socket.ts";

/** What a run of the load has found. */
export interface LoadResult {
  /** Signatures a second, after the first second. */
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  answered: number;
  /** Errors by type. */
  errors: Record<string, number>;
}

interface Client {
  socket: WebSocket;
  sentMs: Map<number, number>;
}

async function main(): Promise<void> {
  const [url = "", seconds = "10", sockets = "16", inFlight = "64", rate = "0"] = Deno.args;
  const clients = await Promise.all(Array.from({ length: Number(sockets) }, () => open(url)));
  const latenciesMs: number[] = [];
  const errors: Record<string, number> = {};
  const startMs = performance.now();
  const warmMs = startMs + 1_000;
  const endMs = startMs + Number(seconds) * 1_000;
  const interval = Number(rate) > 0 ? 1_000 / Number(rate) : 0;
  let answered = 0;
  let id = 0;

  const send = (client: Client, dueMs = performance.now()) => {
    const next = id++;
    client.sentMs.set(next, dueMs);
    client.socket.send(`{"id":${next},"message":"message ${next} of the load"}`);
  };
  for (const client of clients) {
    client.socket.onmessage = ({ data }) => {
      const nowMs = performance.now();
      const answer = JSON.parse(data) as { id: number; ok?: unknown; error?: { type: string } };
      const sentMs = client.sentMs.get(answer.id)!;
      client.sentMs.delete(answer.id);
      if (answer.error) errors[answer.error.type] = (errors[answer.error.type] ?? 0) + 1;
      else if (nowMs > warmMs && nowMs < endMs) {
        answered++;
        latenciesMs.push(nowMs - sentMs);
      }
      if (interval === 0 && nowMs < endMs) send(client);
    };
  }
  if (interval === 0) {
    for (let i = 0; i < Number(inFlight); i++) clients.forEach((client) => send(client));
  } else {
    // Each message has its time to be sent, whether or not answers come: waits count as latency.
    let dueMs = startMs;
    let turn = 0;
    while (dueMs < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      for (; dueMs < Math.min(performance.now(), endMs); dueMs += interval) {
        send(clients[turn++ % clients.length]!, dueMs);
      }
    }
  }
  await new Promise((resolve) => setTimeout(resolve, endMs - performance.now()));
  const lastMs = performance.now() + 6_000;
  while (clients.some(({ sentMs }) => sentMs.size > 0) && performance.now() < lastMs) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const lost = clients.reduce((sum, { sentMs }) => sum + sentMs.size, 0);
  if (lost > 0) errors["no answer"] = lost;
  clients.forEach(({ socket }) => socket.close());
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? NaN;
  const result: LoadResult = {
    perSecond: answered / (Number(seconds) - 1),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    answered,
    errors,
  };
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(result)}\n`));
}

function open(url: string): Promise<Client> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, jsonProtocol);
    socket.onopen = () => resolve({ socket, sentMs: new Map() });
    socket.onerror = () => reject(new Error(`Cannot open ${url}`));
  });
}

if (import.meta.main) await main();
