/**
 * What an operator asks of a service's data folder without starting the service: `keys list`,
 * `keys rotate`, `keys retire`, `audit verify`. The answer is JSON on stdout.
 *
 * @module
 */
import type { Command, OptionValues } from "@commander-js/extra-typings";
import { join } from "node:path";
import { flag } from "../../service/command_line.ts";
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { type KeyStore, KeyStoreError, openKeyStore } from "../keys/key_store.ts";
import { verifyAuditLog } from "./audit_chain.ts";
import { signerDataFolder, type SigningFlagValues } from "./signing_service.ts";

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
  keys.command("retire").description("end a verify-only key: its signatures no longer count")
    .argument("<kid>", "the key's id")
    .action((kid, _, sub) => withKeys(sub, (store) => store.retire(kid)));

  command.command("audit").description("check the audit log")
    .command("verify").description("check every entry and the chain of their hashes")
    .addOption(
      flag("--expect-head <hash>", "a hash noted before, which must be in the chain"),
    )
    .action((options, sub) => verifyAudit(sub, options.expectHead));
}

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
    store.close();
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
