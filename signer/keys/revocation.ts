/**
 * The end of a key whoever holds it: its signatures count no more, and nobody signs with it again.
 *
 * On the keys topic a revocation is a record of its own, under `revoked:<kid>`: neither compaction
 * nor a service that publishes its keys anew can undo it.
 *
 * @module
 */
import type { Bus, BusRecord } from "../../service/bus/bus.ts";
import type { World } from "../../service/world/world.ts";

/** That a key was revoked; the value of its record, as JSON. */
export interface Revocation {
  kid: string;
  /** Why, in the words of whoever did it. */
  reason: string;
  /** ISO 8601. */
  revoked_at: string;
  /** The token's subject; `anonymous` without authentication, `operator` at the command line. */
  revoked_by: string;
}

/** What the keys of such records begin with; no thumbprint has a colon. */
export const revokedPrefix = "revoked:";

/** The longest reason, in characters. */
export const maxReasonLength = 500;

/** Why a key cannot be revoked; the message is for the person who asked. */
export class RevocationError extends Error {
  override name = "RevocationError";
  readonly kind: "unknown-key" | "invalid-reason";

  constructor(kind: RevocationError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The record of a revocation. */
export function revocationRecord(revocation: Revocation): BusRecord {
  return {
    key: `${revokedPrefix}${revocation.kid}`,
    headers: [],
    value: new TextEncoder().encode(JSON.stringify(revocation)),
  };
}

/**
 * A revocation from its JSON; what is not as it should be but the key is made up for, as a
 * revocation that nobody heeds is worse than one without a reason.
 *
 * @throws {TypeError} it is of no key, or of another than `kid`
 */
export function readRevocation(kid: string, json: string): Revocation {
  const parsed: unknown = JSON.parse(json);
  const value = (typeof parsed === "object" ? parsed : undefined) as Partial<Revocation> | null;
  if (value?.kid !== kid) throw new TypeError(`It is not of the key '${kid.slice(0, 100)}'.`);
  const text = (one: unknown) => typeof one === "string" ? one.slice(0, maxReasonLength) : "";
  return {
    kid,
    reason: text(value.reason),
    revoked_at: text(value.revoked_at),
    revoked_by: text(value.revoked_by),
  };
}

/** Who revokes what, and why. */
export interface RevokeRequest {
  kid: string;
  reason: string;
  actor: string;
}

/** Where {@linkcode publishRevocation} publishes. */
export interface RevocationPlace {
  bus: Bus;
  /** The topic of keys. */
  topic: string;
  /** What has been published there, read to the end: a `KeyDirectory`. */
  directory: {
    readonly keys: readonly { readonly kid: string }[];
    readonly revocations: ReadonlyMap<string, Revocation>;
  };
  world: Pick<World, "nowMs">;
}

/**
 * Revokes a key that has been published; of one that is revoked already the first revocation stands.
 *
 * @throws {RevocationError} nobody has published such a key, or the reason is none
 * @throws {BusError} it cannot be published
 *
 * @example
 * ```ts
 * await publishRevocation(place, { kid, reason: "disk stolen", actor: "ann" });
 * ```
 */
export async function publishRevocation(
  { bus, topic, directory, world }: RevocationPlace,
  { kid, reason, actor }: RevokeRequest,
): Promise<Revocation> {
  if (reason.trim() === "" || reason.length > maxReasonLength || /\p{Cc}/u.test(reason)) {
    throw new RevocationError(
      "invalid-reason",
      `The reason must be a line of 1 to ${maxReasonLength} characters.`,
    );
  }
  const before = directory.revocations.get(kid);
  if (before) return before;
  if (!directory.keys.some((key) => key.kid === kid)) {
    throw new RevocationError(
      "unknown-key",
      `No service has published a key '${kid.slice(0, 100)}' on ${topic}.`,
    );
  }
  const revoked_at = new Date(world.nowMs()).toISOString();
  const revocation = { kid, reason, revoked_at, revoked_by: actor };
  await bus.send(topic, revocationRecord(revocation));
  return revocation;
}
