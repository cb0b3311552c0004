/**
 * What an operator asks without starting a service: of its data folder `keys list`, `keys rotate`,
 * `keys retire`, `audit verify`; of all services, over the bus, `keys revoke`. The answer is JSON on
 * stdout.
 *
 * @module
 */
import type { Command, OptionValues } from "@commander-js/extra-typings";
import { join } from "node:path";
import { BusError } from "../../service/bus/bus.ts";
import { type BusFlagValues, openBus } from "../../service/bus/open_bus.ts";
import { flag } from "../../service/command_line.ts";
import { mayBeginWithDash } from "../../service/dashed_argument.ts";
import { StartError } from "../../service/life_cycle.ts";
import { createLog, stderrLines } from "../../service/log.ts";
import { reasonOf } from "../../service/resilience.ts";
import { type KeyStore, KeyStoreError, openKeyStore } from "../keys/key_store.ts";
import { realWorld } from "../../service/world/world.ts";
import { openKeyDirectory } from "../keys/key_directory.ts";
import { publishRevocation, RevocationError } from "../keys/revocation.ts";
import { verifyAuditLog } from "./audit_chain.ts";
import type { RequestTopicFlagValues } from "./request_topic.ts";
import { signerDataFolder, type SigningFlagValues } from "./signing_service.ts";
import { keysTopic } from "./wire.ts";

/**
 * Adds the commands to a program that has `signingFlags`.
 *
 * @example
 * ```ts
 * addMaintenanceCommands(command); // signer/service.ts keys rotate --data-dir /var/lib/signer
 * ```
 */
export function addMaintenanceCommands<Options extends OptionValues>(
  command: Command<[], Options>,
): void {
  const keys = command.command("keys").description("manage the keys");
  keys.command("list").description("print all keys, without their private parts")
    .action((_, sub) => withKeys(sub, (store) => Promise.resolve(store.keys)));
  keys.command("rotate").description("make a new active key; the one before still verifies")
    .action((_, sub) => withKeys(sub, (store) => store.rotate()));
  const retire = keys.command("retire")
    .description("end a verify-only key: its signatures no longer count")
    .argument("<kid>", "the key's id")
    .action((kid, _, sub) => withKeys(sub, (store) => store.retire(kid)));
  const revoking = keys.command("revoke")
    .description("end a key for good, also one of a service that is lost: over the bus")
    .argument("<kid>", "the key's id")
    .addOption(flag("--reason <text>", "why; services note it").makeOptionMandatory())
    .action((kid, { reason }, sub) => revoke(sub, kid, reason));
  mayBeginWithDash(retire, keyId);
  mayBeginWithDash(revoking, keyId);

  command.command("audit").description("check the audit log")
    .command("verify").description("check every entry and the chain of their hashes")
    .addOption(
      flag("--expect-head <hash>", "a hash noted before, which must be in the chain"),
    )
    .action((options, sub) => verifyAudit(sub, options.expectHead));
}

/** A SHA-256 in base64url (RFC 7638). */
const keyId = /^[\w-]{43}$/;

interface SubCommand {
  optsWithGlobals(): unknown;
}

async function withKeys(
  sub: SubCommand,
  work: (store: KeyStore) => Promise<unknown>,
): Promise<void> {
  const flags = sub.optsWithGlobals() as SigningFlagValues;
  if (flags.algorithm === "base64") throw new StartError("base64 has no keys.");
  const path = flags.keys ?? join(signerDataFolder(flags), "keys");
  const store = await openKeyStore({ path, algorithm: flags.algorithm });
  try {
    print(await work(store));
  } catch (error) {
    if (error instanceof KeyStoreError) throw new StartError(error.message);
    throw error;
  } finally {
    await store.close();
  }
}

/** Services that run heed it at once, others when they start. */
async function revoke(sub: SubCommand, kid: string, reason: string): Promise<void> {
  const flags = sub.optsWithGlobals() as BusFlagValues & RequestTopicFlagValues;
  const topic = keysTopic(flags.reqTopic);
  const bus = await openBus(flags, { clientId: "signer-service" }, {
    log: createLog({ name: "signer-service", level: "warn", write: stderrLines.write }),
    stopping: new AbortController().signal,
    world: realWorld,
  });
  try {
    const directory = await openKeyDirectory({ bus, topic });
    await Promise.race([directory.caughtUp, directory.failed]);
    const place = { bus, topic, directory, world: realWorld };
    print(await publishRevocation(place, { kid, reason, actor: "operator" }));
    await directory.close();
  } catch (error) {
    if (error instanceof RevocationError || error instanceof BusError) {
      throw new StartError(`Cannot revoke the key: ${error.message}`);
    }
    throw error;
  } finally {
    await bus.close();
  }
}

async function verifyAudit(sub: SubCommand, expectHead: string | undefined): Promise<void> {
  const folder = join(signerDataFolder(sub.optsWithGlobals() as SigningFlagValues), "audit");
  const verdict = await verifyAuditLog(folder, expectHead).catch((error) => {
    throw new StartError(`Cannot read the audit log in ${folder}: ${reasonOf(error)}`);
  });
  print(verdict);
  if (!verdict.ok) Deno.exit(1);
}

function print(result: unknown): void {
  // deno-lint-ignore no-console -- what the command is asked for
  console.log(JSON.stringify(result, null, 2));
}
