/**
 * The command line of every program: npm `commander`, typed by `@commander-js/extra-typings`,
 * with the house rules added once: each flag is mirrored by an environment variable, wrong use
 * exits with 2 and says what to do, and the help ends with examples.
 *
 * @module
 */
import { Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import process from "node:process";
import { version } from "./version.ts";

/** What a program says about itself. */
export interface CommandLineOptions {
  /** The program's name, which is also its `service.name`, such as `orb-server`. */
  name: string;
  /** One sentence for the head of the help. */
  summary: string;
  /**
   * Prefix of the environment variables that mirror the flags: `--data-dir` of `orb-server`
   * is `ORB_SERVER_DATA_DIR`.
   *
   * @default the name in upper case with underscores
   */
  envPrefix?: string;
  /** Command lines worth copying, each with what it does. */
  examples: readonly (readonly [command: string, effect: string])[];
}

/**
 * Makes a program's root command. Add flags with {@linkcode flag}, then hand it to
 * `runService()` of `service/life_cycle.ts`, which parses and runs it.
 */
export function commandLine(options: CommandLineOptions): Command {
  const width = Math.max(...options.examples.map(([command]) => command.length));
  const examples = options.examples
    .map(([command, effect]) => `  ${command.padEnd(width)}  ${effect}`);
  const command = new Command(options.name)
    .description(options.summary)
    .version(version, "--version", "print the version and exit")
    .helpOption("--help", "print this help and exit")
    .showHelpAfterError(`Try '${options.name} --help'.`)
    .allowExcessArguments(false)
    .addHelpText("after", ["", "Examples:", ...examples].join("\n"))
    .configureHelp({ helpWidth: 100 })
    // Told rather than guessed from variables that a program has no permission to read.
    .configureOutput({ getOutHasColors: () => false, getErrHasColors: () => false });
  mirrorFlagsInEnvironment(command, options.envPrefix ?? environmentName(options.name));
  return command;
}

/**
 * A flag, for `addOption()`, which adds its environment variable; call `.env(name)` on it only
 * where a wire contract names another one.
 */
export function flag<Usage extends string>(usage: Usage, description: string): Option<Usage> {
  return new Option(usage, description);
}

/**
 * Makes a command give every flag added to it the environment variable `<PREFIX>_<FLAG>`, and its
 * sub-commands likewise. It must be there when the flag is added: commander listens from then on.
 */
function mirrorFlagsInEnvironment(command: Command, prefix: string): void {
  const addOption = command.addOption.bind(command);
  command.addOption = function addMirroredOption(option) {
    if (option.envVar === undefined) {
      option.env(`${prefix}_${environmentName(option.name().replace(/^no-/, ""))}`);
    }
    addOption(option);
    if (!option.required && !option.optional) readBooleanFromEnvironment(command, option);
    return command;
  } as typeof command.addOption;
  const createCommand = command.createCommand.bind(command);
  command.createCommand = function createMirroredCommand(name?: string) {
    const child = createCommand(name);
    mirrorFlagsInEnvironment(child, prefix);
    return child;
  } as typeof command.createCommand;
}

/**
 * Makes a flag without a value obey what its variable says. Commander itself asks only whether the
 * variable is there, so that `…_INSECURE=false` would switch on what it denies. Its listener has
 * come first and has set what the flag means; here that is taken back if the variable denies it.
 *
 * The variable of `--no-streaming` has no `NO` in its name: `…_STREAMING=false` is the flag.
 */
function readBooleanFromEnvironment(command: Command, option: Option): void {
  command.on(`optionEnv:${option.name()}`, () => {
    const variable = option.envVar ?? "";
    const text = process.env[variable] ?? "";
    const value = booleans.get(text.toLowerCase());
    if (value === undefined) {
      command.error(
        `error: option '${option.flags}' value '${text}' from env '${variable}' is invalid. ` +
          `It must be true, false, 1, 0, yes or no: current value is '${text}'.`,
        { code: "commander.invalidArgument" },
      );
    }
    if (value !== option.negate) return;
    const key = option.attributeName();
    const hasOpposite = command.options.some((other) =>
      other.attributeName() === key && other.negate !== option.negate
    );
    // A flag that is not given is absent, not false: so it conflicts with and implies nothing.
    const denied = option.negate ||
      (hasOpposite || option.defaultValue === true ? false : undefined);
    command.setOptionValueWithSource(key, denied, "env");
  });
}

const booleans: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["1", true],
  ["yes", true],
  ["false", false],
  ["0", false],
  ["no", false],
]);

function environmentName(text: string): string {
  return text.toUpperCase().replaceAll("-", "_");
}

/** A TCP or UDP port, 0 (any free one) to 65535. */
export function parsePort(text: string): number {
  return parseInteger({ min: 0, max: 65535 })(text);
}

/** Makes a parser of whole numbers within bounds, both included. */
export function parseInteger(
  bounds: { min?: number; max?: number } = {},
): (text: string) => number {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = bounds;
  return function parseIntegerWithin(text: string): number {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text.trim()) || value < min || value > max) {
      throw new InvalidArgumentError(
        max === Number.MAX_SAFE_INTEGER
          ? `Give a whole number of at least ${min}.`
          : `Give a whole number from ${min} to ${max}.`,
      );
    }
    return value;
  };
}

/** Makes a parser of decimal numbers within bounds, both included. */
export function parseNumber(bounds: { min?: number; max?: number } = {}): (text: string) => number {
  const { min = 0, max = Number.MAX_VALUE } = bounds;
  return function parseNumberWithin(text: string): number {
    const value = text.trim() === "" ? NaN : Number(text);
    if (!Number.isFinite(value) || value < min || value > max) {
      throw new InvalidArgumentError(
        max === Number.MAX_VALUE
          ? `Give a number of at least ${min}.`
          : `Give a number from ${min} to ${max}.`,
      );
    }
    return value;
  };
}

const byteUnits = { "": 1, k: 1e3, kb: 1e3, kib: 1024, mb: 1e6, mib: 1024 ** 2, gib: 1024 ** 3 };

/** A number of bytes: `1048576`, `512 KiB`, `10MiB`, `1GiB`. */
export function parseByteCount(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(k|kb|kib|mb|mib|gib)?\s*$/i.exec(text);
  const bytes = match
    ? Number(match[1]) * byteUnits[(match[2] ?? "").toLowerCase() as keyof typeof byteUnits]
    : NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw new InvalidArgumentError("Give a number of bytes such as 1048576, 512KiB or 10MiB.");
  }
  return bytes;
}

/** An absolute `http:` or `https:` URL. */
export function parseHttpUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidArgumentError("Give an absolute URL such as http://127.0.0.1:4318.");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new InvalidArgumentError("Give a URL that begins with http:// or https://.");
  }
  return text;
}

export { InvalidArgumentError };
