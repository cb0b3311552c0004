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
import type { Bus } from "../../service/bus/bus.ts";
import { publishKeys } from "../keys/key_publisher.ts";
import { type KeyStore, openKeyStore } from "../keys/key_store.ts";
import { type Algorithm, algorithms } from "../keys/signing.ts";
import { startSigningWorker } from "./signing_worker.ts";
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
  algorithm: Algorithm;
  keys?: string | undefined;
  dataDir?: string | undefined;
  auditSync?: true | undefined;
}

/** A signing service at work. */
export interface SigningService {
  /** Absent for `base64`. */
  readonly keys: KeyStore | undefined;
  /** Rejects when it cannot go on. */
  readonly failed: Promise<never>;
  close(deadline?: AbortSignal): Promise<void>;
}

/** Where data is, unless `--data-dir` says otherwise. */
export function signerDataFolder(flags: { dataDir?: string | undefined }): string {
  return flags.dataDir ?? defaultDataFolder("signer");
}

/**
 * Starts one on the bus.
 *
 * @throws {StartError} keys or audit log cannot be opened, with what to do
 */
export async function startSigningService(
  bus: Bus,
  requestTopic: string,
  group: string,
  flags: SigningFlagValues,
  context: ServiceContext,
): Promise<SigningService> {
  const { log } = context;
  const { algorithm } = flags;
  const folder = signerDataFolder(flags);
  await openDataFolder(folder);
  await using undo = new AsyncDisposableStack();

  const keys = algorithm === "base64" ? undefined : await openKeyStore({
    path: flags.keys ?? join(folder, "keys"),
    algorithm,
    warn: (message) => log.warn(message),
  });
  undo.defer(() => keys?.close());
  const audit = await openAuditLog({
    folder: join(folder, "audit"),
    sync: flags.auditSync ?? false,
  });
  undo.defer(() => audit.close());

  const publisher = keys && publishKeys({
    bus,
    topic: keysTopic(requestTopic),
    store: keys,
    onState: busHealth("keys", context),
  });
  undo.defer(() => publisher?.stop());
  await publisher?.published;
  const onState = busHealth("requests", context);
  const worker = await startSigningWorker({
    bus,
    requestTopic,
    group,
    algorithm,
    audit,
    ...(publisher && { key: () => publisher.signingKey }),
    onState,
  }, context);
  undo.defer(() => worker.close(AbortSignal.abort()));
  onState("ok");
  log.info("Signing", {
    algorithm,
    keyId: keys?.active.publicJwk.kid,
    folder,
    auditEntries: audit.count,
  });

  undo.move();
  return {
    keys,
    failed: Promise.race([worker.failed, audit.failed, ...(keys ? [keys.failed] : [])]),
    async close(deadline) {
      await worker.close(deadline);
      publisher?.stop();
      await audit.close();
      keys?.close();
    },
  };
}
