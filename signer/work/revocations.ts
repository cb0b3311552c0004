/**
 * A service's side of revocations: it reads those of all keys, never signs with such a key again,
 * notes each in its audit log, and keeps them in its data folder, so that a keys topic that was
 * lost gets them back.
 *
 * @module
 */
import type { Bus } from "../../service/bus/bus.ts";
import { type ServiceContext, StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { writeWholeFile } from "../../service/whole_file.ts";
import { type KeyDirectory, openKeyDirectory } from "../keys/key_directory.ts";
import { KeyStoreError } from "../keys/key_store.ts";
import type { KeyStore } from "../keys/key_store.ts";
import {
  publishRevocation,
  readRevocation,
  type Revocation,
  revocationRecord,
  type RevokeRequest,
} from "../keys/revocation.ts";
import type { AuditLog } from "./audit_log.ts";
import { busHealth } from "./bus_health.ts";

/** Options of {@linkcode openRevocations}. */
export interface RevocationsOptions {
  /** The bus that is used; it stays open. */
  bus: Bus;
  /** The topic of keys; made if it is absent. */
  topic: string;
  /** The service's own keys. */
  store: KeyStore;
  /** Where each revocation is noted. */
  audit: AuditLog;
  /** The file that they are kept in; made with the first. */
  file: string;
}

/** Revocations, of one's own keys and of others'. */
export interface Revocations {
  /** By the key's id. */
  readonly all: ReadonlyMap<string, Revocation>;
  /** Resolves when what was published before holds here, too. */
  readonly caughtUp: Promise<void>;
  /**
   * Revokes a key, whoever holds it; resolves when it is published and noted.
   *
   * @throws {RevocationError} nobody has published such a key, or the reason is none
   * @throws {BusError} it cannot be published
   */
  revoke(request: RevokeRequest): Promise<Revocation>;
  /** Rejects when a revoked key cannot be put away, or revocations cannot be read or noted. */
  readonly failed: Promise<never>;
  close(): Promise<void>;
}

/**
 * Reads what is kept and begins to follow the topic.
 *
 * @throws {StartError} what is kept cannot be read, or a revoked key cannot be replaced
 * @throws {BusError} the topic cannot be made or read
 *
 * @example
 * ```ts
 * const revocations = await openRevocations({ bus, topic, store, audit, file }, context);
 * await revocations.caughtUp;
 * revocations.all.has(store.active.publicJwk.kid); // false: it was replaced
 * ```
 */
export async function openRevocations(
  options: RevocationsOptions,
  context: Pick<ServiceContext, "health" | "log" | "world">,
): Promise<Revocations> {
  const revocations = new FollowedRevocations(options, context);
  await revocations.open();
  return revocations;
}

class FollowedRevocations implements Revocations {
  readonly failed: Promise<never>;
  readonly #options: RevocationsOptions;
  readonly #context: Pick<ServiceContext, "health" | "log" | "world">;
  readonly #giveUp: (error: unknown) => void;
  readonly #all = new Map<string, Revocation>();
  /** What is done about each, one after the other. */
  #work: Promise<void> = Promise.resolve();
  #directory!: KeyDirectory;

  constructor(
    options: RevocationsOptions,
    context: Pick<ServiceContext, "health" | "log" | "world">,
  ) {
    this.#options = options;
    this.#context = context;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#giveUp = reject;
    // Whoever does not wait for it shall not die of it.
    promise.catch(() => {});
  }

  async open(): Promise<void> {
    const { bus, topic, file } = this.#options;
    for (const revocation of await readKept(file)) this.#all.set(revocation.kid, revocation);
    try {
      // A key may be back from a copy of the disk.
      for (const kid of this.#all.keys()) await this.#putAway(kid);
    } catch (error) {
      throw new StartError((error as Error).message);
    }
    this.#directory = await openKeyDirectory({
      ...{ bus, topic, onState: busHealth("revocations", this.#context) },
      warn: (message) => this.#context.log.warn(message),
      onRevoked: (revocation) => void this.#take(revocation),
    });
    this.#directory.failed.catch(this.#giveUp);
  }

  get all(): ReadonlyMap<string, Revocation> {
    return this.#all;
  }

  get caughtUp(): Promise<void> {
    return this.#catchUp();
  }

  async revoke(request: RevokeRequest): Promise<Revocation> {
    const { bus, topic } = this.#options;
    const { world } = this.#context;
    const directory = this.#directory;
    const revocation = await publishRevocation({ bus, topic, directory, world }, request);
    await this.#take(revocation);
    return this.#all.get(revocation.kid)!;
  }

  async close(): Promise<void> {
    await this.#directory.close();
    await this.#work.catch(() => {});
  }

  async #catchUp(): Promise<void> {
    const { bus, topic } = this.#options;
    await this.#directory.caughtUp;
    try {
      await this.#work;
    } catch (error) {
      throw new StartError((error as Error).message);
    }
    for (const revocation of this.#all.values()) {
      if (!this.#directory.revocations.has(revocation.kid)) {
        await bus.send(topic, revocationRecord(revocation));
      }
    }
  }

  /** Holds from here on; resolves when all that follows from it is done. */
  #take(revocation: Revocation): Promise<void> {
    if (!this.#all.has(revocation.kid)) {
      this.#all.set(revocation.kid, revocation);
      this.#work = this.#work.then(() => this.#heed(revocation));
      this.#work.catch(this.#giveUp);
    }
    return this.#work;
  }

  async #heed(revocation: Revocation): Promise<void> {
    const { audit, file } = this.#options;
    const { kid, reason, revoked_by: actor, revoked_at: revokedAt } = revocation;
    // It is put away first, and noted even if that fails.
    const putAway = await Promise.allSettled([this.#putAway(kid)]);
    await audit.append({ event: "key-revoked", actor, keyId: kid, reason, revokedAt });
    const kept = JSON.stringify([...this.#all.values()], null, 2);
    await writeWholeFile(file, kept, this.#context);
    const [outcome] = putAway;
    if (outcome.status === "rejected") throw outcome.reason;
    this.#context.log.warn("A key is revoked", { keyId: kid, reason, actor, own: outcome.value });
  }

  /** Whether it was ours. */
  async #putAway(kid: string): Promise<boolean> {
    try {
      return await this.#options.store.revoke(kid) !== undefined;
    } catch (error) {
      if (error instanceof KeyStoreError) throw error;
      throw new Error(`Cannot put the revoked key '${kid}' away: ${reasonOf(error)}`);
    }
  }
}

async function readKept(file: string): Promise<Revocation[]> {
  try {
    const kept = JSON.parse(await Deno.readTextFile(file)) as Revocation[];
    return kept.map((one) => readRevocation(one.kid, JSON.stringify(one)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw new StartError(
      `Cannot read the revoked keys in ${file}: ${
        reasonOf(error)
      } Mend it; without it, they are those on the keys topic.`,
    );
  }
}
