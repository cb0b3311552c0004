/**
 * The fleet as the server knows it: each device's last report, how its signups go, and what it is to
 * be told. Reports and commands are documents of the record store, so they outlive the server and
 * are shared by all servers of a database; how many signups were decided in the last minute is
 * counted by each server from the changes that the store tells of.
 *
 * @module
 */
import type { SignupRecord } from "../signups/signup_record.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { realWorld, type TimerId, type World } from "../../service/world/world.ts";
import { afterReport, openCommands, withCommand } from "./device_commands.ts";
import type {
  Command,
  CommandRequest,
  Device,
  DeviceStatus,
  DeviceSummary,
} from "./device_status.ts";
import type { DeviceState } from "./device_state.ts";
import { MinuteCounter } from "./minute_counter.ts";

/** Options of {@linkcode openDeviceRegistry}. */
export interface DeviceRegistryOptions {
  /** Keeps reports and commands, and tells of signups. */
  store: Pick<RecordStore, "run" | "follow" | "system">;
  /** Devices at once; at the limit the one that was silent for longest gives way, if one is. @default 10_000 */
  maxDevices?: number;
  /** A device that says nothing of its interval is silent after so long, in milliseconds. @default 90_000 */
  offlineAfterMs?: number;
  /** How often what other servers have heard is asked for, in milliseconds. @default 5_000 */
  refreshMs?: number;
  /** Notified when a device falls silent, and when it is heard again. @default nobody is */
  onPresence?: ((id: string, present: boolean) => void) | undefined;
  /** Whose time it is. @default the real world */
  world?: World;
}

/** Why the registry did not do what it was asked. */
export class DeviceError extends Error {
  override name = "DeviceError";

  /**
   * @param kind `unknown`: no such device; `full`: too many devices; `busy`: too many open commands
   */
  constructor(readonly kind: "unknown" | "full" | "busy", message: string) {
    super(message);
  }
}

/** The fleet. */
export interface DeviceRegistry {
  /**
   * Takes in a report, durably; returns what the device is to do.
   *
   * @throws {DeviceError} `full`
   * @throws {StoreError} it could not be stored
   */
  report(id: string, status: DeviceStatus): Promise<readonly Command[]>;
  /** Tells a device something, with its next report. @throws {DeviceError} `unknown`, `busy` */
  command(id: string, command: CommandRequest): Promise<Command>;
  /** All that is known of a device. */
  find(id: string): Promise<Device | undefined>;
  /** Every device, by id. */
  list(): readonly DeviceSummary[];
  /** Calls with the devices whose summary may have changed, once in a while; returns what ends it. */
  follow(listener: (ids: ReadonlySet<string>) => void): () => void;
  /** A device's summary. */
  summary(id: string): DeviceSummary | undefined;
  /** Forgets a device; it comes back with its next report. */
  forget(id: string): Promise<boolean>;
  /** Ends timers. */
  close(): void;
}

/** The collections in the store. */
const statusCollection = "device_status";
const commandCollection = "device_commands";

/** What is stored of a report. */
interface StoredReport {
  readonly seenMs: number;
  readonly status: DeviceStatus;
}

/** A report is expected three times before a device counts as silent. */
const missedReports = 3;
/** For so long a signup's outcome is what a device's state says. */
const outcomeMs = 60_000;
const tickMs = 1_000;
const listPage = 1_000;

interface Entry {
  report: StoredReport | undefined;
  /** The signup that changed last. */
  signup: {
    readonly state: SignupRecord["state"];
    readonly reason: string | undefined;
    readonly atMs: number;
  } | undefined;
  readonly decided: MinuteCounter;
  present: boolean;
}

/**
 * Opens the registry with what the store knows.
 *
 * @throws {StoreError} the store cannot be read
 *
 * @example
 * ```ts
 * const devices = await openDeviceRegistry({ store, world });
 * await devices.report("orb-17", { timestamp: "2026-11-29T12:00:00Z", battery: { level: 80 } });
 * devices.summary("orb-17")?.state; // "ok"
 * devices.close();
 * ```
 */
export async function openDeviceRegistry(options: DeviceRegistryOptions): Promise<DeviceRegistry> {
  const registry = new StoredDeviceRegistry({
    maxDevices: 10_000,
    offlineAfterMs: 90_000,
    refreshMs: 5_000,
    onPresence: undefined,
    world: realWorld,
    ...options,
  });
  await registry.start();
  return registry;
}

class StoredDeviceRegistry implements DeviceRegistry {
  readonly #options: Required<DeviceRegistryOptions>;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(ids: ReadonlySet<string>) => void>();
  #changed = new Set<string>();
  #ticks: TimerId | undefined;
  #refreshes: TimerId | undefined;
  #unfollow = () => {};

  constructor(options: Required<DeviceRegistryOptions>) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { store, world, refreshMs } = this.#options;
    await this.#refresh();
    this.#unfollow = store.follow(undefined, (record) => this.#onSignup(record));
    this.#ticks = world.setInterval(() => this.#tick(), tickMs);
    if (store.system === "sqlite") return;
    // Other servers hear from devices, too. What fails now is asked for again.
    this.#refreshes = world.setInterval(() => void this.#refresh().catch(() => {}), refreshMs);
  }

  async report(id: string, status: DeviceStatus): Promise<readonly Command[]> {
    const { store, world } = this.#options;
    const { command_results: results = [], ...kept } = status;
    const entry = this.#entryFor(id);
    const report = { seenMs: world.nowMs(), status: kept };
    const [, commands] = await Promise.all([
      store.run({ type: "putDocument", collection: statusCollection, key: id, value: report }),
      this.#changeCommands(id, (commands) => afterReport(commands, results, report.seenMs)),
    ]);
    // A slower report must not take the place of a later one.
    if (entry.report === undefined || entry.report.seenMs <= report.seenMs) entry.report = report;
    this.#touch(id);
    return openCommands(commands);
  }

  async command(id: string, command: CommandRequest): Promise<Command> {
    if (!this.#entries.has(id)) throw unknownDevice(id);
    const { world } = this.#options;
    const own = { id: world.randomUuid(), nowMs: world.nowMs() };
    const commands = await this.#changeCommands(id, (commands) => {
      const more = withCommand(commands, command, own);
      if (more !== undefined) return more;
      throw new DeviceError("busy", `${id} has too many commands that it has not carried out yet.`);
    });
    this.#touch(id);
    return commands.find((one) => one.id === own.id)!;
  }

  async find(id: string): Promise<Device | undefined> {
    const summary = this.summary(id);
    if (summary === undefined) return undefined;
    const stored = await this.#options.store.run({
      type: "getDocument",
      collection: commandCollection,
      key: id,
    });
    const entry = this.#entries.get(id);
    return {
      ...summary,
      status: entry?.report?.status ?? null,
      commands: (stored?.value ?? []) as Command[],
    };
  }

  list(): readonly DeviceSummary[] {
    return [...this.#entries.keys()].sort(byId).map((id) => this.summary(id)!);
  }

  summary(id: string): DeviceSummary | undefined {
    const entry = this.#entries.get(id);
    return entry && {
      id,
      ...this.#stateOf(entry),
      lastSeenAt: entry.report ? new Date(entry.report.seenMs).toISOString() : null,
      signupsPerMinute: entry.decided.count(this.#options.world.nowMs()),
      signupsLeftToUpload: entry.report?.status.ssd?.signup_left_to_upload ?? null,
    };
  }

  follow(listener: (ids: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async forget(id: string): Promise<boolean> {
    const { store } = this.#options;
    const known = this.#entries.delete(id);
    await Promise.all(
      [statusCollection, commandCollection].map((collection) =>
        store.run({ type: "deleteDocument", collection, key: id })
      ),
    );
    if (known) this.#touch(id);
    return known;
  }

  close(): void {
    const { world } = this.#options;
    world.clearInterval(this.#ticks);
    world.clearInterval(this.#refreshes);
    this.#unfollow();
    this.#listeners.clear();
  }

  /** Changes a device's commands, against whoever does so at the same time on another server. */
  async #changeCommands(
    id: string,
    change: (commands: readonly Command[]) => readonly Command[],
  ): Promise<readonly Command[]> {
    const { store } = this.#options;
    const at = { collection: commandCollection, key: id };
    for (;;) {
      const stored = await store.run({ type: "getDocument", ...at });
      const before = (stored?.value ?? []) as readonly Command[];
      const after = change(before);
      const isSame = after === before ||
        (after.length === before.length && after.every((one, index) => one === before[index]));
      if (isSame) return before;
      const put = {
        type: "putDocument",
        ...at,
        value: after,
        ifVersion: stored?.version ?? 0,
      } as const;
      if (await store.run(put) !== null) return after;
    }
  }

  /** The device's entry; a new one takes the place of one that was silent for longest. */
  #entryFor(id: string): Entry {
    const known = this.#entries.get(id);
    if (known !== undefined) return known;
    if (this.#entries.size >= this.#options.maxDevices) this.#makeRoom();
    const entry: Entry = {
      report: undefined,
      signup: undefined,
      decided: new MinuteCounter(),
      present: false,
    };
    this.#entries.set(id, entry);
    return entry;
  }

  #makeRoom(): void {
    let oldest: string | undefined;
    let oldestMs = Infinity;
    for (const [id, { report, present }] of this.#entries) {
      if (present || (report?.seenMs ?? 0) >= oldestMs) continue;
      oldest = id;
      oldestMs = report?.seenMs ?? 0;
    }
    if (oldest === undefined) {
      throw new DeviceError("full", `${this.#options.maxDevices} devices report already.`);
    }
    // What is stored of it goes as well; if that fails it is only back after a restart.
    void this.forget(oldest).catch(() => {});
  }

  #onSignup(record: SignupRecord): void {
    const { orbId, state, reason, updatedMs, decidedMs } = record;
    if (orbId === undefined) return;
    let entry: Entry;
    try {
      entry = this.#entryFor(orbId);
    } catch (error) {
      // A signup counts for more than whether its device is in the list.
      if (error instanceof DeviceError) return;
      throw error;
    }
    entry.signup = { state, reason, atMs: updatedMs };
    if (decidedMs !== undefined) entry.decided.add(this.#options.world.nowMs());
    this.#touch(orbId);
  }

  #touch(id: string): void {
    this.#changed.add(id);
  }

  /** Whoever falls silent does so without a call; whoever follows hears of all changes together. */
  #tick(): void {
    for (const [id, entry] of this.#entries) {
      const { state } = this.#stateOf(entry);
      const present = entry.report !== undefined && state !== "silent";
      if (present !== entry.present) {
        entry.present = present;
        this.#touch(id);
        if (entry.report !== undefined) this.#options.onPresence?.(id, present);
      }
      // Its minute goes on, and what its last signup came to is no news for ever.
      if (entry.decided.isCounting || entry.signup !== undefined) this.#touch(id);
      if (entry.signup !== undefined && !this.#isNews(entry.signup)) entry.signup = undefined;
    }
    if (this.#changed.size === 0) return;
    const changed = this.#changed;
    this.#changed = new Set();
    for (const listener of this.#listeners) listener(changed);
  }

  #isNews({ state, atMs }: NonNullable<Entry["signup"]>): boolean {
    return state === "queued" || state === "processing" ||
      this.#options.world.nowMs() - atMs < outcomeMs;
  }

  #stateOf({ report, signup }: Entry): { state: DeviceState; reason: string | null } {
    const { world, offlineAfterMs } = this.#options;
    if (report !== undefined) {
      const { status_interval_sec: intervalSec } = report.status;
      const expectedMs = intervalSec === undefined
        ? offlineAfterMs
        : Math.max(missedReports * intervalSec * 1_000, 2 * tickMs);
      const silentMs = world.nowMs() - report.seenMs;
      if (silentMs >= expectedMs) {
        return { state: "silent", reason: `no report for ${Math.round(silentMs / 1_000)} s` };
      }
      const broken = Object.entries(report.status.hardware_states ?? {}).find(([, { status }]) =>
        status === "failure" || status === "error"
      );
      if (broken !== undefined) {
        return { state: "error", reason: `${broken[0]}: ${broken[1].message}` };
      }
    }
    return signup !== undefined && this.#isNews(signup)
      ? stateOfSignup(signup)
      : { state: "ok", reason: null };
  }

  async #refresh(): Promise<void> {
    const { store } = this.#options;
    let after: string | undefined;
    for (;;) {
      const page = await store.run({
        type: "listDocuments",
        collection: statusCollection,
        limit: listPage,
        ...(after !== undefined && { after }),
      });
      for (const { key, value } of page) this.#learn(key, value as StoredReport);
      if (page.length < listPage) return;
      after = page.at(-1)!.key;
    }
  }

  #learn(id: string, report: StoredReport): void {
    if (!this.#entries.has(id) && this.#entries.size >= this.#options.maxDevices) return;
    const entry = this.#entryFor(id);
    if (entry.report !== undefined && entry.report.seenMs >= report.seenMs) return;
    entry.report = report;
    this.#touch(id);
  }
}

function stateOfSignup(
  { state, reason }: NonNullable<Entry["signup"]>,
): { state: DeviceState; reason: string | null } {
  switch (state) {
    case "queued":
    case "processing":
      return { state: "signing", reason: "a signup is under way" };
    case "duplicate":
      return { state: "duplicate", reason: "its last image had signed up before" };
    case "rejected":
    case "dead_letter":
      return { state: "error", reason: reason ?? "its last signup failed" };
    case "accepted":
      return { state: "ok", reason: null };
  }
}

/** `orb-2` before `orb-10`. */
function byId(a: string, b: string): number {
  return collator.compare(a, b);
}

const collator = new Intl.Collator("en", { numeric: true });

function unknownDevice(id: string): DeviceError {
  return new DeviceError("unknown", `No device ${id} has reported yet.`);
}
