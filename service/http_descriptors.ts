/**
 * What the HTTP servers of a process do when its file descriptors are used up: accepting waits and
 * goes on, connections that ask nothing are closed, and one line says so.
 *
 * @module
 */
import type { Server } from "node:net";
import type { Log } from "./log.ts";
import type { TimerId, World } from "./world/world.ts";

/** A server of this process. */
export interface DescriptorUser {
  /** An address that may be listened on, by which is seen whether a descriptor is left. */
  host: string;
  /** Gets what the operator should know. @default nobody */
  log?: Pick<Log, "warn" | "info"> | undefined;
  /** Whose time it is. */
  world: World;
  /** Closes so many connections, those that have asked nothing for longest; gives how many it were. */
  closeIdle(count: number): number;
  /** Goes on with accepting, if it has stopped. */
  resume(): void;
}

/** Time between two looks, in milliseconds: 50 µs of work each. */
const lookMs = 250;
/** Connections without a request that a server closes at once. */
const closedAtOnce = 32;
/** The descriptors have to be enough for so long until the next shortage is news, in milliseconds. */
const calmMs = 30_000;

const users = new Set<DescriptorUser>();
let timer: { id: TimerId; world: World } | undefined;
let shortage: { closed: number; lastMs: number } | undefined;

/**
 * Looks after a server until the function that it gives is called.
 *
 * @example
 * ```ts
 * const unwatch = watchDescriptors({ host, log, world, closeIdle, resume });
 * ```
 */
export function watchDescriptors(user: DescriptorUser): () => void {
  users.add(user);
  const { world } = user;
  timer ??= { id: world.setInterval(look, lookMs), world };
  return function unwatch() {
    users.delete(user);
    if (users.size > 0 || !timer) return;
    timer.world.clearInterval(timer.id);
    timer = undefined;
    shortage = undefined;
  };
}

function look(): void {
  const [first] = users;
  if (!first || !timer) return;
  const log = [...users].find((user) => user.log)?.log;
  const nowMs = timer.world.monotonicMs();
  if (isExhausted(first.host)) {
    let closed = 0;
    for (const user of users) closed += user.closeIdle(closedAtOnce);
    if (!shortage) {
      log?.warn(
        "The process has no file descriptor left: accepting waits, and what has been idle for longest is closed. Raise the limit (ulimit -n), or lower the number of clients",
        { closed },
      );
    }
    shortage = { closed: closed + (shortage?.closed ?? 0), lastMs: nowMs };
  } else if (shortage && nowMs - shortage.lastMs > calmMs) {
    log?.info("There are file descriptors again", { closed: shortage.closed });
    shortage = undefined;
  }
  for (const user of users) user.resume();
}

/** Opens a descriptor and gives it back. */
function isExhausted(hostname: string): boolean {
  try {
    Deno.listen({ hostname, port: 0 }).close();
    return false;
  } catch (error) {
    const { code } = error as { code?: string };
    return code === "EMFILE" || code === "ENFILE";
  }
}

/**
 * Goes on with accepting where it has stopped. After an `accept(2)` that fails, as it does when the
 * descriptors are used up, Deno's `node:net` (2.9.6) never accepts again and says nothing. Listening
 * again on the handle wakes it, and is nothing (0.7 µs) where it is awake; what waits in the backlog
 * stays there. `e2e/descriptors_faults_test.ts` tells when that is no longer so.
 */
export function resumeAccepting(server: Server): void {
  const { _handle: handle } = server as { _handle?: { listen?(backlog: number): number } | null };
  if (server.listening) handle?.listen?.(acceptBacklog);
}

/** Connections that may wait to be accepted: the default of node:net. */
const acceptBacklog = 511;
