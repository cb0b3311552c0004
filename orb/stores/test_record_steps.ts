/**
 * What the tests of the record suite do, step by step.
 *
 * @module
 */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { monotonicFactory } from "ulid";
import { eventually } from "../../service/testing/eventually.ts";
import type { NewSignup, SignupRecord, Verdict } from "../signups/signup_record.ts";
import type { RecordBackend } from "./record_backend.ts";

/** A back-end that a test has for itself. */
export interface Opened {
  backend: RecordBackend;
  /** Opens the same database anew. */
  again: () => Promise<RecordBackend>;
}

/** Declares one test of the suite. */
export type Check = (what: string, run: (opened: Opened) => Promise<void>) => void;

/** Limits of attempts. */
export const limits = { leaseMs: 30_000, maxAttempts: 3 };

/** A digest that no other name has. */
export function digest(name: string | number): string {
  return hash("sha256", String(name), "hex");
}

/** Ascending: of signups that come in the same millisecond, too, the first is the oldest. */
const ulid = monotonicFactory();

/** A signup of the image of this name. */
export function signupOf(name: string | number, more: Partial<NewSignup> = {}): NewSignup {
  return {
    id: ulid(),
    sha256: digest(name),
    imageBytes: 7,
    mediaType: "image/png",
    token: "371dd8e3f2423f4a",
    ...more,
  };
}

/** Hands a signup in. */
export async function submit(backend: RecordBackend, signup: NewSignup): Promise<SignupRecord> {
  const [reply] = await backend.apply([{ type: "submit", signup, maxQueued: 1_000 }]);
  assert.ok(reply.result === "new" || reply.result === "same", JSON.stringify(reply));
  return reply.record;
}

/** What there is to claim at this moment. */
export async function claimNow(
  backend: RecordBackend,
  options: { max?: number; leaseMs?: number } = {},
): Promise<SignupRecord[]> {
  const [claimed] = await backend.apply([
    { type: "claim", worker: "w", max: 10, ...limits, ...options },
  ]);
  return claimed;
}

/** Claims that many: what is queued can be claimed at once, or a little later. */
export async function claim(
  backend: RecordBackend,
  count = 1,
  options: { leaseMs?: number } = {},
): Promise<SignupRecord[]> {
  const all: SignupRecord[] = [];
  return await eventually(`${count} signups to claim`, async () => {
    all.push(...await claimNow(backend, { max: count - all.length, ...options }));
    return all.length === count ? all : undefined;
  });
}

/** The signup of an id that is there. */
export async function find(backend: RecordBackend, id: string): Promise<SignupRecord> {
  const [record] = await backend.apply([{ type: "find", id }]);
  assert.ok(record);
  return record;
}

/** Decides one that was claimed. */
export async function decide(
  backend: RecordBackend,
  { id, fence }: { id: string; fence: number },
  verdict: Verdict = { state: "accepted" },
  compared: { comparedSeq: number; epoch: number } = { comparedSeq: 0, epoch: 1 },
) {
  const [reply] = await backend.apply([
    { type: "decide", decisions: [{ id, fence, verdict }], ...compared },
  ]);
  return reply;
}
