#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env=ORB_ADMIN_*,HOME,USERPROFILE,XDG_DATA_HOME,LOCALAPPDATA --ignore-env
/**
 * What an operator does with an orb server's records: look at the queue and its dead letters, requeue
 * them, back everything up while the server runs, restore it, check it.
 *
 * ```sh
 * deno task orb:admin queue --data-dir ./orb-data
 * deno task orb:admin list --state dead_letter
 * deno task orb:admin requeue --all
 * deno task orb:admin backup orb.tar
 * deno task orb:admin restore orb.tar --data-dir ./another
 * deno task orb:admin check
 * deno task orb:admin fingerprint --uniqueness perceptual
 * ```
 *
 * It works on the stores themselves, so it takes the server's own flags for them. What it prints on
 * stdout is JSON, a line each.
 *
 * @module
 */
import { type Command, Option } from "@commander-js/extra-typings";
import { commandLine, flag, parseInteger } from "../service/command_line.ts";
import { runCommand, StartError } from "../service/life_cycle.ts";
import { reasonOf } from "../service/resilience.ts";
import { addFingerprints } from "./operators/add_fingerprints.ts";
import { BackupError, restoreBackup, writeBackup } from "./operators/backup.ts";
import { checkStores } from "./operators/check_stores.ts";
import {
  openOperatorArchive,
  openOperatorRecords,
  type OperatorRecords,
} from "./operators/operator_stores.ts";
import { type SignupRecord, signupStates } from "./signups/signup_record.ts";
import { signupResource } from "./signups/signup_resource.ts";
import { openImages, type StoreOptions, withStoreFlags } from "./stores/open_stores.ts";
import { realWorld } from "../service/world/world.ts";

/** Signups that are read at once. */
const pageSize = 500;

async function main(): Promise<void> {
  const command = commandLine({
    name: "orb-admin",
    summary: "For operators of an orb server: its queue, dead letters, backups.",
    examples: [
      ["orb-admin list --state dead_letter", "signups that wait for an operator"],
      ["orb-admin requeue --all", "give every dead letter its attempts anew"],
      ["orb-admin backup orb.tar", "records and images, while the server runs"],
      ["orb-admin restore orb.tar --data-dir ./new", "into an empty folder, or other stores"],
    ],
  });
  addQueue(command);
  addComparison(command);
  addArchives(command);
  await runCommand(command);
}

function addQueue(command: Command): void {
  withStoreFlags(command.command("queue")).description("how the queue is")
    .action(async (options) => {
      await withRecords(options, async (records) => {
        const [statistics] = await records.apply([{ type: "statistics" }]);
        print(statistics);
      });
    });

  withStoreFlags(command.command("list")).description("signups, newest first")
    .addOption(new Option("--state <state>", "only those").choices(signupStates))
    .addOption(flag("--orb <id>", "only those of one device"))
    .addOption(
      flag("--limit <number>", "the most that are listed").argParser(parseInteger({ min: 1 }))
        .default(100),
    )
    .action(async ({ state, orb, limit, ...options }) => {
      await withRecords(options, async (records) => {
        const query = { ...(state && { states: [state] }), ...(orb && { orbId: orb }) };
        let left = limit;
        for await (const record of signupsOf(records, query)) {
          if (left-- === 0) break;
          print(signupResource(record));
        }
      });
    });

  withStoreFlags(command.command("show <id>")).description(
    "one signup with all that is known of it",
  )
    .addOption(flag("--image <file>", "write its image there"))
    .action(async (id, { image, ...options }) => {
      await withRecords(options, async (records) => {
        const [record] = await records.apply([{ type: "find", id: id.toUpperCase() }]);
        if (record === null) throw new StartError(`There is no signup ${id}.`);
        print(record);
        if (image === undefined) return;
        const images = await openImages(options, { world: realWorld }, { cleans: false });
        await Deno.writeFile(image, await images.get(record.sha256), { createNew: true });
      });
    });

  withStoreFlags(command.command("requeue [ids...]")).description(
    "give dead letters all attempts anew",
  )
    .addOption(flag("--all", "every dead letter"))
    .action(async (ids, { all = false, ...options }) => {
      if (all === ids.length > 0) throw new StartError("Give the ids of dead letters, or --all.");
      await withRecords(options, async (records) => {
        const wanted = all
          ? await Array.fromAsync(signupsOf(records, { states: ["dead_letter"] }), ({ id }) => id)
          : ids.map((id) => id.toUpperCase());
        const results = [];
        for (const id of wanted) results.push(await requeue(records, id));
        print({ requeued: results.filter((done) => done).length, of: wanted.length });
        if (results.includes(false) && !all) Deno.exitCode = 1;
      });
    });
}

function addComparison(command: Command): void {
  withStoreFlags(command.command("fingerprint"))
    .description("compute what images that were accepted before are compared by, while servers run")
    .addOption(
      new Option("--uniqueness <mode>", "the way, as the server's").choices(
        ["perceptual", "iris"] as const,
      ).makeOptionMandatory(),
    )
    .action(async ({ uniqueness: mode, ...options }) => {
      const images = await openImages(options, { world: realWorld }, { cleans: false });
      await withRecords(options, async (records) => {
        const accepted = signupsOf(records, { states: ["accepted"] });
        const onRefused = ({ id }: SignupRecord, reason: string) =>
          complain(`${id} is compared by its bytes only: ${reason}`);
        print(await addFingerprints({ records, images, mode, accepted, onRefused }));
      });
    });
}

function addArchives(command: Command): void {
  withStoreFlags(command.command("backup <file>"))
    .description("write records and images into one file, while the server runs")
    .action(async (path, options) => {
      const stores = await openOperatorArchive(options, { exclusive: false });
      // Under another name first: what has the name is whole.
      const unfinished = `${path}.unfinished`;
      const file = await inWords(
        "write",
        path,
        () => Deno.open(unfinished, { createNew: true, write: true, mode: 0o600 }),
      );
      try {
        const counts = await inWords("write", path, () => writeBackup(stores, file.writable));
        await Deno.rename(unfinished, path);
        print(counts);
      } catch (error) {
        await Deno.remove(unfinished).catch(() => {});
        throw error;
      } finally {
        await stores.records.close();
      }
    });

  withStoreFlags(command.command("restore <file>"))
    .description("put a backup into empty stores, no server at work on them")
    .action(async (path, options) => {
      const file = await inWords("read", path, () => Deno.open(path));
      const stores = await openOperatorArchive(options, { exclusive: true });
      try {
        print(await inWords("restore", path, () => restoreBackup(file.readable, stores)));
      } finally {
        await stores.records.close();
      }
    });

  withStoreFlags(command.command("check"))
    .description("read everything: does each signup have its image, whole")
    .action(async (options) => {
      const stores = await openOperatorArchive(options, { exclusive: false });
      try {
        const report = await checkStores(stores);
        print(report);
        if (report.faults.length > 0) Deno.exitCode = 1;
      } finally {
        await stores.records.close();
      }
    });
}

async function withRecords(
  options: StoreOptions,
  work: (records: OperatorRecords) => Promise<void>,
): Promise<void> {
  const records = await openOperatorRecords(options);
  try {
    await work(records);
  } finally {
    await records.close();
  }
}

async function* signupsOf(
  records: OperatorRecords,
  query: { states?: SignupRecord["state"][]; orbId?: string },
): AsyncIterable<SignupRecord> {
  let before: string | undefined;
  do {
    const [page] = await records.apply([{
      ...{ type: "list", limit: pageSize },
      ...query,
      ...(before !== undefined && { before }),
    }]);
    yield* page;
    before = page.length < pageSize ? undefined : page.at(-1)?.id;
  } while (before !== undefined);
}

async function requeue(records: OperatorRecords, id: string): Promise<boolean> {
  const [reply] = await records.apply([{ type: "requeue", id }]);
  if (reply.result === "changed") return true;
  complain(`${id} is no dead letter, nothing to requeue`);
  return false;
}

function complain(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`orb-admin: ${text}\n`));
}

async function inWords<Result>(
  what: string,
  path: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const reason = error instanceof BackupError ? error.message : reasonOf(error);
    throw new StartError(`Cannot ${what} ${path}: ${reason}.`);
  }
}

function print(value: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
}

if (import.meta.main) await main();
