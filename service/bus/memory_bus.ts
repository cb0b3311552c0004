/**
 * A {@linkcode Bus} inside the process: the same promises as Kafka's, nothing to install, nothing
 * kept when the process ends.
 *
 * @module
 */
import {
  type Bus,
  BusError,
  type BusRecord,
  type ConsumeOptions,
  type Follower,
  type FollowOptions,
  isTopicName,
  type Reader,
  type ReceivedRecord,
  type TopicOptions,
} from "./bus.ts";

/** Options of {@linkcode memoryBus}. */
export interface MemoryBusOptions {
  /** The largest value, in bytes. @default 1_000_000 */
  maxValueBytes?: number;
  /** Records that a topic keeps for groups that have not read them; then it is overloaded. @default 65_536 */
  maxRecords?: number;
  /** How long a record waits that `handle` has rejected. @default 100 */
  redeliverDelayMs?: number;
}

interface Topic {
  compacted: boolean;
  /** Kept records, oldest first; unless compacted, the first has offset `base`. */
  log: ReceivedRecord[];
  base: number;
  /** Offset of the next record. */
  end: number;
  groups: Map<string, Group>;
  followers: Set<(record: ReceivedRecord) => void>;
}

interface Group {
  /** Offset of the next record that nobody in the group has been given. */
  next: number;
  /** Given back by members, oldest first; before anything new. */
  again: ReceivedRecord[];
  members: Set<Member>;
  dealing: boolean;
}

interface Member {
  options: ConsumeOptions;
  inFlight: Set<ReceivedRecord>;
  onIdle: (() => void) | undefined;
}

/** Cutting now and then costs next to nothing a record. */
const trimEvery = 512;
const keptWhenDone = 1_024;

/** Makes a bus that lives and dies with the process. */
export function memoryBus(options: MemoryBusOptions = {}): Bus {
  const { maxValueBytes = 1_000_000, maxRecords = 65_536, redeliverDelayMs = 100 } = options;
  const topics = new Map<string, Topic>();
  const timers = new Set<ReturnType<typeof setTimeout>>();

  function existing(name: string): Topic {
    const topic = topics.get(name);
    if (!topic) throw new BusError("unknown-topic", `There is no topic '${name.slice(0, 100)}'.`);
    return topic;
  }

  function groupOf(topic: Topic, name: string): Group {
    let group = topic.groups.get(name);
    if (!group) {
      group = { next: topic.base, again: [], members: new Set(), dealing: false };
      topic.groups.set(name, group);
    }
    return group;
  }

  /** Deals in the next turn, so that nobody's `send` runs somebody else's `handle`. */
  function deal(topic: Topic, group: Group): void {
    if (group.dealing || group.members.size === 0) return;
    group.dealing = true;
    queueMicrotask(() => {
      group.dealing = false;
      dealNow(topic, group);
    });
  }

  function dealNow(topic: Topic, group: Group): void {
    while (true) {
      const member = leastBusy(group);
      if (!member) return;
      group.next = Math.max(group.next, topic.base);
      const record = group.again.shift() ?? topic.log[group.next - topic.base];
      if (!record) return;
      if (Number(record.offset) === group.next) group.next++;
      work(topic, group, member, record);
    }
  }

  async function work(topic: Topic, group: Group, member: Member, record: ReceivedRecord) {
    member.inFlight.add(record);
    try {
      await member.options.handle(record);
    } catch {
      await later();
      // A member that left in the meantime has given it back already.
      if (member.inFlight.has(record)) group.again.push(record);
    }
    member.inFlight.delete(record);
    if (member.inFlight.size === 0) member.onIdle?.();
    deal(topic, group);
  }

  function later(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        timers.delete(timer);
        resolve();
      }, redeliverDelayMs);
      timers.add(timer);
    });
  }

  function append(topic: Topic, name: string, { key, headers, value }: BusRecord): void {
    const offset = BigInt(topic.end++);
    const record = { topic: name, partition: 0, offset, key, headers, value };
    topic.log.push(record);
    for (const follower of topic.followers) queueMicrotask(() => follower(record));
    for (const group of topic.groups.values()) deal(topic, group);
    if (topic.end % trimEvery === 0) trim(topic);
  }

  function trim(topic: Topic): void {
    if (topic.compacted) {
      const last = new Map(topic.log.map((record) => [record.key, record]));
      topic.log = [...last.values()].filter((record) => record.value !== null);
      return;
    }
    // Where every group has done with a record, or there is none, a few are kept for who comes later.
    const next = Math.min(topic.end, ...topic.groups.values().map((group) => group.next));
    const cut = Math.max(topic.log.length - maxRecords, next - topic.base - keptWhenDone);
    if (cut <= 0) return;
    topic.log.splice(0, cut);
    topic.base += cut;
  }

  function backlog(topic: Topic): number {
    let most = 0;
    for (const group of topic.groups.values()) {
      const waiting = topic.end - Math.max(group.next, topic.base);
      most = Math.max(most, waiting + group.again.length);
    }
    return most;
  }

  const never = new Promise<never>(() => {});

  return {
    system: "in_process",
    maxValueBytes,

    createTopic(name: string, { compacted = false }: TopicOptions = {}) {
      if (!isTopicName(name)) {
        return Promise.reject(
          new BusError("unknown-topic", `'${name.slice(0, 100)}' cannot name a topic.`),
        );
      }
      if (topics.has(name)) return Promise.resolve(false);
      topics.set(name, {
        compacted,
        log: [],
        base: 0,
        end: 0,
        groups: new Map(),
        followers: new Set(),
      });
      return Promise.resolve(true);
    },

    unfollowedTopics(prefix) {
      return Promise.resolve(
        [...topics].filter(([name, topic]) => name.startsWith(prefix) && topic.followers.size === 0)
          .map(([name]) => name),
      );
    },

    deleteTopic(name) {
      topics.delete(name);
      return Promise.resolve();
    },

    send(name, record) {
      try {
        const topic = existing(name);
        if ((record.value?.length ?? 0) > maxValueBytes) {
          throw new BusError(
            "too-large",
            `${record.value?.length} bytes are more than the ${maxValueBytes} that a record may have.`,
          );
        }
        if (
          backlog(topic) >= maxRecords || (topic.compacted && topic.log.length > maxRecords * 2)
        ) {
          throw new BusError("overloaded", `${maxRecords} records wait in '${name}' already.`);
        }
        append(topic, name, record);
        return Promise.resolve();
      } catch (error) {
        return Promise.reject(error);
      }
    },

    consume(options): Promise<Reader> {
      let topic: Topic;
      try {
        topic = existing(options.topic);
        if (topic.compacted) throw new TypeError("A compacted topic is for followers, not groups.");
      } catch (error) {
        return Promise.reject(error);
      }
      const group = groupOf(topic, options.group);
      const member: Member = { options, inFlight: new Set(), onIdle: undefined };
      group.members.add(member);
      options.onState?.("ok");
      deal(topic, group);
      return Promise.resolve({
        failed: never,
        lag() {
          const waiting = topic.end - Math.max(group.next, topic.base);
          return Promise.resolve(waiting + group.again.length);
        },
        async close(deadline) {
          group.members.delete(member);
          if (member.inFlight.size > 0) {
            const idle = new Promise<void>((resolve) => member.onIdle = resolve);
            await Promise.race([idle, aborted(deadline)]);
          }
          // What is still under way is somebody else's now.
          group.again.push(...member.inFlight);
          member.inFlight.clear();
          deal(topic, group);
        },
      });
    },

    follow({ topic: name, from, handle, onState }: FollowOptions): Promise<Follower> {
      let topic: Topic;
      try {
        topic = existing(name);
      } catch (error) {
        return Promise.reject(error);
      }
      const past = from === "beginning" ? [...topic.log] : [];
      let closed = false;
      const guarded = (record: ReceivedRecord) => {
        if (!closed) handle(record);
      };
      topic.followers.add(guarded);
      const caughtUp = Promise.resolve().then(() => past.forEach(guarded));
      onState?.("ok");
      return Promise.resolve({
        caughtUp,
        failed: never,
        lag: () => Promise.resolve(0),
        close() {
          closed = true;
          topic.followers.delete(guarded);
          return Promise.resolve();
        },
      });
    },

    close() {
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
      topics.clear();
      return Promise.resolve();
    },
  };
}

/** The member of the group with room that has the least to do. */
function leastBusy(group: Group): Member | undefined {
  let best: Member | undefined;
  for (const member of group.members) {
    if (member.inFlight.size >= (member.options.maxInFlight ?? 1024)) continue;
    if (!best || member.inFlight.size < best.inFlight.size) best = member;
  }
  return best;
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve();
    else signal?.addEventListener("abort", () => resolve(), { once: true });
  });
}
