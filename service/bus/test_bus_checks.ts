/**
 * What the files of the suite share: how a test is declared, and how it waits.
 *
 * @module
 */
import assert from "node:assert/strict";
import { eventually } from "../testing/eventually.ts";
import {
  type Bus,
  type BusRecord,
  type GroupReader,
  headerNamed,
  type ReceivedRecord,
  type TopicOptions,
} from "./bus.ts";

/** What the suite needs to know of a bus. */
export interface BusUnderTest {
  /** Begins each test's name: `kafka`. */
  name: string;
  /** Makes a connection of its own to the same broker; where there is no broker, a bus of its own. */
  connect: () => Bus;
  /** `Deno.test`, or one that ignores. */
  test: (name: string, run: () => Promise<void>) => void;
  /**
   * How a group shares a topic: by whole partitions, which are dealt anew when a member comes or
   * goes, or record by record.
   *
   * @default "record"
   */
  sharesBy?: "partition" | "record";
}

/** Declares one test of the suite; `run` gets a bus and a topic of its own. */
export type Check = (
  what: string,
  run: (bus: Bus, topic: string) => Promise<void>,
  topicOptions?: TopicOptions,
) => void;

/** The longest wait for anything here, far beyond what a broker under load needs. */
const limitMs = 30_000;

/** Gathers records; `reach` resolves once there are so many. */
export function collector() {
  const records: ReceivedRecord[] = [];
  return {
    records,
    take(record: ReceivedRecord) {
      records.push(record);
    },
    async reach(count: number): Promise<ReceivedRecord[]> {
      await until(`${count} records`, () => records.length >= count);
      return records;
    },
  };
}

/** A handler that is done with its record at once, or refuses it. */
export function later(
  take: (record: ReceivedRecord) => void,
): (record: ReceivedRecord) => Promise<void> {
  return (record) => Promise.resolve(record).then(take);
}

/** Waits for a condition. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  await eventually(what, async () => await condition() || undefined, limitMs);
}

/** Both members have their share: a group deals anew when a member joins. */
export async function shared(partitions: number, ...members: GroupReader[]): Promise<void> {
  await until("a share for each member", () => {
    const shares = members.map((member) => member.partitions);
    const dealt = shares.flat();
    return shares.every((share) => share.length > 0) && dealt.length === partitions &&
      new Set(dealt).size === partitions;
  });
}

/** A record with a header. */
export function message(value: string): BusRecord {
  return { headers: [["n", bytes("1")]], value: bytes(value) };
}

/** The text of a record. */
export function text(record: ReceivedRecord): string {
  assert.ok(record.value);
  assert.ok(headerNamed(record.headers, "absent") === undefined);
  return new TextDecoder().decode(record.value);
}

/** A text as bytes. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
