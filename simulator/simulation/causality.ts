/**
 * What has led to what in an event log: a part's own past, and the messages that came to it.
 *
 * @module
 */
import type { LogEntry } from "./event_loop.ts";

/** Entries that hand something on: who takes the same message later has it from them. */
const handsOn = new Set(["commit", "publish", "deliver", "acknowledge", "effect"]);

/**
 * By entry, the entries that it follows from directly, by their places: the one before of the same
 * part, and for each of its messages the last that another part has handed it on with.
 */
export function causesOf(entries: readonly LogEntry[]): readonly (readonly number[])[] {
  const lastOfPart = new Map<string, number>();
  const lastOfMessage = new Map<string, number>();
  return entries.map((entry, index) => {
    const causes = new Set<number>();
    const before = lastOfPart.get(entry.part);
    if (before !== undefined) causes.add(before);
    lastOfPart.set(entry.part, index);
    for (const message of messagesOf(entry)) {
      // A result follows from its order.
      const from = lastOfMessage.get(message) ?? lastOfMessage.get(`o${message.slice(1)}`);
      if (from !== undefined) causes.add(from);
    }
    if (handsOn.has(entry.kind)) {
      for (const message of messagesOf(entry)) lastOfMessage.set(message, index);
    }
    return [...causes];
  });
}

/** Everything that has led to an entry, itself included, by ascending place. */
export function causalPast(causes: readonly (readonly number[])[], place: number): number[] {
  const past = new Set<number>();
  const open = [place];
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    if (past.has(one)) continue;
    past.add(one);
    open.push(...causes[one] ?? []);
  }
  return [...past].sort((a, b) => a - b);
}

/** The messages that an entry is about. */
export function messagesOf({ subject, messages }: LogEntry): readonly string[] {
  return isMessage(subject) && !messages.includes(subject) ? [subject, ...messages] : messages;
}

function isMessage(subject: string): boolean {
  return /^[or]\d+$/.test(subject);
}
