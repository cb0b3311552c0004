#!/usr/bin/env -S deno run --allow-read --allow-write --allow-env=PINGPONG_GEN_CERTS_*
/**
 * Makes a certificate for the ping-pong server that browsers and our client accept by its hash,
 * and writes that hash beside it.
 *
 * Exports {@linkcode generateCertificates}; can also be used as a CLI:
 *
 * ```sh
 * deno task pingpong:gen-certs
 * deno task pingpong:gen-certs --name ping.example --name 10.0.0.7 --days 7
 * ```
 *
 * @module
 */
import { commandLine, flag, parseNumber } from "../service/command_line.ts";
import { runCommand, StartError } from "../service/life_cycle.ts";
import { pause } from "../service/resilience.ts";
import { maxCertificateDays } from "./certificates/certificate.ts";
import {
  generateCertificates,
  type GenerateCertificatesOptions,
  pinPathOf,
} from "./certificates/generate.ts";

export { generateCertificates, type GenerateCertificatesOptions };

const signals: readonly (readonly [signal: Deno.Signal, exitCode: number])[] =
  Deno.build.os === "windows"
    ? [["SIGINT", 130]]
    : [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]];

/** Lets `work` end before a signal ends the process: no private key is left in a file beside its own. */
async function undisturbed<Result>(work: () => Promise<Result>): Promise<Result> {
  let endsWith: number | undefined;
  const listeners = signals.map(([signal, exitCode]) => {
    const listener = () => endsWith = exitCode;
    Deno.addSignalListener(signal, listener);
    return () => Deno.removeSignalListener(signal, listener);
  });
  try {
    return await work();
  } finally {
    // What came while the last files were renamed is heard in the next turn.
    await pause(20);
    for (const remove of listeners) remove();
    if (endsWith !== undefined) Deno.exit(endsWith);
  }
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "gen-certs",
    envPrefix: "PINGPONG_GEN_CERTS",
    summary: "Makes a self-signed certificate that browsers accept by its hash (ECDSA P-256).",
    examples: [
      ["deno task pingpong:gen-certs", "cert.pem, key.pem and cert.sha256 for this machine"],
      ["deno task pingpong:gen-certs --name ping.example --days 7", "for a host, for a week"],
    ],
  })
    .addOption(flag("--certificate-path <file>", "where the certificate goes").default("cert.pem"))
    .addOption(flag("--key-path <file>", "where its private key goes").default("key.pem"))
    .addOption(
      flag(
        "--pin-path <file>",
        "where the certificate's hash goes (default: beside it, cert.sha256 for cert.pem)",
      ),
    )
    .addOption(
      flag("--name <name...>", "host names and addresses (default: localhost, 127.0.0.1, ::1)"),
    )
    .addOption(
      flag("--days <days>", "how long it is valid; browsers take at most 14")
        .argParser(parseNumber({ min: 0.01, max: maxCertificateDays })).default(13),
    )
    .action(async (options) => {
      const { hash } = await undisturbed(() => generateCertificates(options)).catch((error) => {
        throw error instanceof RangeError ? new StartError(error.message) : error;
      });
      const lines = [
        "Certificate generated",
        `SHA-256 fingerprint (hex):    ${hash.toHex()}`,
        `SHA-256 fingerprint (base64): ${hash.toBase64()}`,
        `Clients take it with --pin ${options.pinPath ?? pinPathOf(options.certificatePath)}`,
      ];
      await Deno.stdout.write(new TextEncoder().encode(lines.join("\n") + "\n"));
    });
  await runCommand(command);
}

if (import.meta.main) await main();
