/**
 * A whole signing service, in a process of its own or inside the REST API: keys, audit log,
 * worker, and its public keys on the bus.
 *
 * @module
 */
import { join } from "node:path";
import { flag } from "../../service/command_line.ts";
import { defaultDataFolder, openDataFolder } from "../../service/data_folder.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { openAuditLog } from "./audit_log.ts";
import { busHealth } from "./bus_health.ts";
import { type Bus, BusError } from "../../service/bus/bus.ts";
import { publishKeys } from "../keys/key_publisher.ts";
import { type KeyStore, openKeyStore } from "../keys/key_store.ts";
import { type Algorithm, algorithms, type PrivateKey } from "../keys/signing.ts";
import { openRevocations, type Revocations } from "./revocations.ts";
import { startSigningWorker } from "./signing_worker.ts";
import { unlessStopped } from "./start_step.ts";
import { keysTopic } from "./wire.ts";

/** The flags of a signing service. */
export const signingFlags = {
  algorithm: () =>
    flag("--algorithm <name>", "how to sign; base64 is the original's stand-in and has no key")
      .choices(algorithms).default("ed25519" as const),
  keys: () =>
    flag("--keys <path>", "folder or file of the private keys (default: keys in the data folder)"),
  dataDir: () => flag("--data-dir <folder>", "where keys and audit log are kept"),
  auditSync: () =>
    flag("--audit-sync", "answer only when the disk, not just the system, has the audit entry"),
};

/** What {@linkcode signingFlags} give. */
export interface SigningFlagValues {
  /** How to sign. */
  algorithm: Algorithm;
  /** Folder or file of the private keys. @default `keys` in the data folder */
  keys?: string | undefined;
  /** Where keys and audit log are kept. @default `signer` in the user's data folder */
  dataDir?: string | undefined;
  /** Answers only when the disk has the audit entry. @default the operating system is enough */
  auditSync?: true | undefined;
}

/** A signing service at work. */
export interface SigningService {
  /** Absent for `base64`. */
  readonly keys: KeyStore | undefined;
  /** Absent for `base64`, too. */
  readonly revocations: Revocations | undefined;
  /** Rejects when it cannot go on. */
  readonly failed: Promise<never>;
  close(deadline?: AbortSignal): Promise<void>;
}

/** Where data is, unless `--data-dir` says otherwise. */
export function signerDataFolder(flags: { dataDir?: string | undefined }): string {
  return flags.dataDir ?? defaultDataFolder("signer");
}

/** Options of {@linkcode startSigningService}. */
export interface SigningServiceOptions {
  /** The bus that is used; it stays open. */
  bus: Bus;
  /** Topic of the requests; made if it is absent. */
  requestTopic: string;
  /** Services of one group share the requests. */
  group: string;
  /** How to sign, and where keys and audit log are kept. */
  flags: SigningFlagValues;
}

/**
 * Starts one on the bus; its keys are published when it resolves.
 *
 * @throws {StartError} keys or audit log cannot be opened, with what to do; or the program is asked
 * to stop meanwhile
 *
 * @example
 * ```ts
 * const signing = await startSigningService({
 *   ...{ bus, requestTopic: "signer.v1", group: "signer.v1.service" },
 *   flags: { algorithm: "ed25519", dataDir: "/var/lib/signer" },
 * }, context);
 * await signing.close(deadline);
 * ```
 */
export async function startSigningService(
  { bus, requestTopic, group, flags }: SigningServiceOptions,
  context: ServiceContext,
): Promise<SigningService> {
  const { log, stopping, world } = context;
  const { algorithm } = flags;
  const warn = (message: string) => log.warn(message);
  const folder = signerDataFolder(flags);
  await openDataFolder(folder);
  await using undo = new AsyncDisposableStack();

  const path = flags.keys ?? join(folder, "keys");
  const keys = algorithm === "base64"
    ? undefined
    : await openKeyStore({ path, algorithm, warn, world });
  undo.defer(() => keys?.close());
  const sync = flags.auditSync ?? false;
  const audit = await openAuditLog({ folder: join(folder, "audit"), sync, warn, world });
  undo.defer(() => audit.close());

  const topic = keysTopic(requestTopic);
  let revocations: Revocations | undefined;
  const publisher = keys && publishKeys({
    ...{ bus, topic, store: keys, world },
    revocations: () => revocations?.all.values() ?? [],
    onState: busHealth("keys", context),
  });
  undo.defer(() => publisher?.stop());
  if (publisher) await unlessStopped("its keys were published", publisher.published, stopping);
  if (keys) {
    const file = join(folder, "revocations.json");
    const opening = openRevocations({ bus, topic, store: keys, audit, file }, context);
    undo.defer(() => opening.then((opened) => opened.close(), () => {}));
    revocations = await unlessStopped("revocations were read", opening, stopping);
    await unlessStopped("revocations were read", revocations.caughtUp, stopping);
  }
  const onState = busHealth("requests", context);
  const starting = startSigningWorker({
    ...{ bus, requestTopic, group, algorithm, audit, onState },
    ...(publisher && { key: () => unrevoked(publisher.signingKey, revocations!) }),
  }, context);
  const worker = await unlessStopped("requests were read", starting, stopping);
  onState("ok");
  const keyId = keys?.active.publicJwk.kid;
  log.info("Signing", { algorithm, keyId, folder, auditEntries: audit.count });

  undo.move();
  return {
    keys,
    revocations,
    failed: Promise.race([
      worker.failed,
      audit.failed,
      ...(keys ? [keys.failed] : []),
      ...(revocations ? [revocations.failed] : []),
    ]),
    async close(deadline) {
      await worker.close(deadline);
      await revocations?.close();
      publisher?.stop();
      await audit.close();
      await keys?.close();
    },
  };
}

/** The key, unless it may not sign any more: then its request waits for the new one to be published. */
function unrevoked(key: PrivateKey, { all }: Revocations): PrivateKey {
  const { kid } = key.publicJwk;
  if (!all.has(kid)) return key;
  throw new BusError("unavailable", `The key '${kid}' is revoked, the next is not published yet.`);
}
