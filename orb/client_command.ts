/**
 * The orb client's command line.
 *
 * @module
 */
import {
  commandLine,
  flag,
  parseByteCount,
  parseDuration,
  parseHttpUrl,
  parseInteger,
  parseNumber,
} from "../service/command_line.ts";

/** Its flags are the options of `startOrbClient()`. */
export function orbClientCommand() {
  return withAccess(withDelivery(withFleet(originalCommand())));
}

// Each function takes what the one before gives: with type parameters instead, checking takes minutes.

function originalCommand() {
  return commandLine({
    name: "orb-client",
    summary: "A Virtual Orb, or a fleet of them: reports how its host is and signs up images.",
    examples: [
      [
        "orb-client --telemetry-url http://127.0.0.1:1234 --telemetry-interval 10 --orb-server http://127.0.0.1:4242 --orb-signup-interval 5",
        "one orb, as the original",
      ],
      [
        "orb-client … --telemetry-interval 0 --orbs 20 --images fresh --repeat-ratio 0.1",
        "a fleet that signs up only; one image in ten was used before",
      ],
    ],
  })
    .addOption(
      flag("--telemetry-url <url>", "where telemetry is posted")
        .argParser(parseHttpUrl).makeOptionMandatory(),
    )
    .addOption(
      flag("--telemetry-interval <seconds>", "time between reports; 0 sends none")
        .argParser(parseDuration({ unit: "s", maxMs: 86_400_000 })).makeOptionMandatory(),
    )
    .addOption(
      flag("--orb-server <url>", "the orb server, such as http://127.0.0.1:4242")
        .argParser(parseHttpUrl).makeOptionMandatory(),
    )
    .addOption(
      flag("--orb-signup-interval <seconds>", "time between signups; 0 makes none")
        .argParser(parseDuration({ unit: "s", maxMs: 86_400_000 })).makeOptionMandatory(),
    );
}

function withFleet(command: ReturnType<typeof originalCommand>) {
  return command
    .addOption(
      flag(
        "--images <same|fresh|folder>",
        "which images sign up: one for ever, a new one each time, or a folder's",
      )
        .default("same"),
    )
    .addOption(
      flag("--repeat-ratio <share>", "share of signups, 0 to 1, that repeat an earlier image")
        .argParser(parseNumber({ max: 1 })).default(0),
    )
    .addOption(
      flag("--orbs <number>", "virtual orbs in this process, with jittered intervals")
        .argParser(parseInteger({ min: 1, max: 10_000 })).default(1),
    );
}

function withDelivery(command: ReturnType<typeof withFleet>) {
  return command
    .addOption(
      flag("--request-timeout-ms <ms>", "how long one call may take")
        .argParser(parseDuration({ unit: "ms", minMs: 1 })).default(10_000),
    )
    .addOption(
      flag("--api <version>", "how signups are handed in: v1 as JSON, v2 as bytes, idempotently")
        .choices(["v1", "v2"] as const).default("v1" as const),
    )
    .addOption(
      flag(
        "--status-interval <seconds>",
        "time between reports of an orb's status to a server of v2; 0 sends none; default 30 with --api v2, else 0",
      ).argParser(parseDuration({ unit: "s", maxMs: 3_600_000 })),
    )
    .addOption(
      flag(
        "--spool-dir <folder>",
        "keep signups here until the server has decided; default: give up when it stays away",
      ),
    )
    .addOption(
      flag("--spool-max-bytes <bytes>", "the most bytes of images in the spool")
        .argParser(parseByteCount).default(256 * 1024 ** 2, "256MiB"),
    )
    .addOption(
      flag("--max-attempts <number>", "calls that a signup gets without a spool")
        .argParser(parseInteger({ min: 1, max: 1_000 })).default(5),
    )
    .addOption(
      flag("--max-calls <number>", "signups of the whole fleet under way at once")
        .argParser(parseInteger({ min: 1, max: 10_000 })).default(32),
    );
}

function withAccess(command: ReturnType<typeof withDelivery>) {
  return command
    .addOption(
      flag("--oauth-issuer <url>", "get tokens of this OpenID Connect issuer")
        .argParser(parseHttpUrl),
    )
    .addOption(
      flag("--oauth-audience <name>", "what tokens are for, where the issuer has several APIs"),
    )
    .addOption(flag("--oauth-client-id <name>", "ask for one token for all orbs, by a secret"))
    .addOption(flag("--oauth-client-secret-file <file>", "the file of that secret"))
    .addOption(
      flag(
        "--device-keys <folder>",
        "the orbs' keys, made where missing: each orb gets a token of its own, of the issuer or of the orb server",
      ),
    );
}
