/**
 * The commands of one device: data, and pure transitions. A command is given to the device with the
 * answer to its next report, again and again until a report says what became of it: a lost answer
 * loses no command, and a device that gets one twice knows it by its id.
 *
 * @module
 */
import type { Command, CommandRequest } from "./device_status.ts";

/** Commands that are kept of a device, those that came to an end among them. */
export const maxCommands = 16;
/** A command that was not carried out for so long is given up. */
export const commandLifeMs = 3_600_000;

/** A result that a device reports. */
export interface CommandResult {
  readonly id: string;
  readonly outcome: "done" | "failed";
  readonly detail?: string | undefined;
}

function isOpen({ state }: Command): boolean {
  return state === "pending" || state === "delivered";
}

/** Adds a command; the oldest that came to an end makes room. `undefined` when too many are open. */
export function withCommand(
  commands: readonly Command[],
  command: CommandRequest,
  { id, nowMs }: { id: string; nowMs: number },
): readonly Command[] | undefined {
  const kept = expired(commands, nowMs);
  const room = kept.length < maxCommands
    ? kept
    : kept.toSpliced(kept.findIndex((one) => !isOpen(one)), 1);
  if (kept.length >= maxCommands && kept.every(isOpen)) return undefined;
  return [...room, {
    id,
    command,
    state: "pending",
    createdAt: time(nowMs),
    updatedAt: time(nowMs),
  }];
}

/** What a report changes: results are taken in, and what is open is delivered. */
export function afterReport(
  commands: readonly Command[],
  results: readonly CommandResult[],
  nowMs: number,
): readonly Command[] {
  return expired(commands, nowMs).map((command): Command => {
    if (!isOpen(command)) return command;
    const result = results.find(({ id }) => id === command.id);
    if (result !== undefined) {
      return {
        ...command,
        state: result.outcome,
        updatedAt: time(nowMs),
        ...(result.detail !== undefined && { detail: result.detail }),
      };
    }
    return command.state === "delivered"
      ? command
      : { ...command, state: "delivered", updatedAt: time(nowMs) };
  });
}

/** What a device is to do now. */
export function openCommands(commands: readonly Command[]): readonly Command[] {
  return commands.filter(isOpen);
}

function expired(commands: readonly Command[], nowMs: number): readonly Command[] {
  if (!commands.some((one) => isOpen(one) && nowMs - Date.parse(one.createdAt) >= commandLifeMs)) {
    return commands;
  }
  return commands.map((one): Command =>
    isOpen(one) && nowMs - Date.parse(one.createdAt) >= commandLifeMs
      ? { ...one, state: "expired", updatedAt: time(nowMs) }
      : one
  );
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
