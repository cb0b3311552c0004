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
 *
 * @example
 * ```ts
 * const command = commandLine({
 *   name: "orb-server",
 *   summary: "Takes signups of orbs.",
 *   examples: [["deno task orb:server", "http://127.0.0.1:4242"]],
 * }).addOption(
 *   flag("--max-requests <number>", "requests under way at once")
 *     .argParser(parseInteger({ min: 1 })).default(1_024),
 * );
 * ```
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
    .addHelpText("after", ({ command }) => durationHelp(command))
    .addHelpText("after", ["", "Examples:", ...examples].join("\n"))
    .configureHelp({ helpWidth: 100 })
    // Set rather than guessed from variables that a program has no permission to read.
    .configureOutput({ getOutHasColors: () => false, getErrHasColors: () => false });
  mirrorFlagsInEnvironment(command, options.envPrefix ?? environmentName(options.name));
  return command;
}

/**
 * A flag, for `addOption()`, which adds its environment variable; call `.env(name)` on it only
 * where a wire contract names another one. The variable's value is checked as the flag's is; that
 * of a flag without a value is true, false, 1, 0, yes or no, and that of a flag with many values
 * has commas or spaces between them.
 *
 * @example
 * ```ts
 * command.addOption(flag("--data-dir <folder>", "where data is kept"));
 * ```
 */
export function flag<Usage extends string>(usage: Usage, description: string): Option<Usage> {
  return new Option(usage, description);
}

/** An interface of options as the type of a command's values. */
export type FlagValues<Options> = { [Name in keyof Options]: Options[Name] };

/**
 * Adds flags that several programs share. What their values are is the caller's to say, as adding them
 * one by one to a command of unknown options takes TypeScript minutes:
 *
 * @example
 * ```ts
 * const added = withFlags(command, [flag("--data-dir <folder>", "…")]);
 * return added as Command<[], Options & FlagValues<StoreOptions>>;
 * ```
 */
export function withFlags(command: unknown, flags: readonly object[]): unknown {
  for (const one of flags) (command as Command).addOption(one as Option);
  return command;
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
    showDefaultDuration(option);
    if (!option.required && !option.optional) addBooleanOption(command, option, addOption);
    else addOption(option);
    if (option.variadic && !option.parseArg) readListFromEnvironment(command, option);
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
 * Adds a flag without a value that obeys what its variable says. Commander itself asks only whether
 * the variable is there, so that `…_INSECURE=false` would switch on what it denies. Of the listeners
 * here the first keeps what was before commander's, and the last puts it back if the flag is denied.
 *
 * The variable of `--no-streaming` has no `NO` in its name, so that `…_STREAMING=false` is the flag;
 * where a program names one with it, `…_NO_STREAMING=true` is.
 */
function addBooleanOption(
  command: Command,
  option: Option,
  addOption: (option: Option) => unknown,
): void {
  const key = option.attributeName();
  const event = `optionEnv:${option.name()}`;
  let before: { value: unknown; source: string | undefined };
  command.on(event, () => {
    before = { value: command.getOptionValue(key), source: command.getOptionValueSource(key) };
  });
  addOption(option);
  command.on(event, () => {
    const variable = option.envVar ?? "";
    const saysNo = option.negate && !variable.endsWith(environmentName(option.name()));
    const isGiven = booleanOf(command, option) !== saysNo;
    if (isGiven) return;
    const isOff = !option.negate && (option.defaultValue === true || command.options.some(
      (other) => other.negate && other.attributeName() === key,
    ));
    // A flag that is not given is absent: so it conflicts with and implies nothing. Only one that
    // can be off, too, is off.
    if (isOff) command.setOptionValueWithSource(key, false, "env");
    else command.setOptionValueWithSource(key, before.value, before.source);
  });
}

function booleanOf(command: Command, { envVar: variable = "", flags }: Option): boolean {
  const text = process.env[variable] ?? "";
  return booleans.get(text.toLowerCase()) ?? command.error(
    `error: option '${flags}' value '${text}' from env '${variable}' is invalid. ` +
      `Give true, false, 1, 0, yes or no: current value is '${text}'.`,
    { code: "commander.invalidArgument" },
  );
}

const booleans: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["1", true],
  ["yes", true],
  ["false", false],
  ["0", false],
  ["no", false],
]);

/** Takes apart what a variable gives for `--name <name...>`, which commander takes for one value. */
function readListFromEnvironment(command: Command, option: Option): void {
  command.on(`optionEnv:${option.name()}`, () => {
    const values = (process.env[option.envVar ?? ""] ?? "").split(/[\s,]+/)
      .filter((one) => one !== "");
    command.setOptionValueWithSource(option.attributeName(), values, "env");
  });
}

function environmentName(text: string): string {
  return text.toUpperCase().replaceAll("-", "_");
}

/**
 * A TCP or UDP port, 0 (any free one) to 65535.
 *
 * @example
 * ```ts
 * flag("--port <port>", "port to listen on").argParser(parsePort).default(8080);
 * ```
 */
export function parsePort(text: string): number {
  return parseInteger({ min: 0, max: 65535 })(text);
}

/** Bounds of a number, both included. */
export interface NumberBounds {
  /** The least value that is taken. @default 0 */
  min?: number;
  /** The greatest value that is taken. @default the greatest there is */
  max?: number;
}

/**
 * Makes a parser of whole numbers within bounds.
 *
 * @example
 * ```ts
 * flag("--orbs <count>", "virtual orbs").argParser(parseInteger({ min: 1, max: 10_000 }));
 * ```
 */
export function parseInteger({ min = 0, max }: NumberBounds = {}): (text: string) => number {
  return function parseIntegerInBounds(text: string): number {
    const value = Number(text);
    if (
      !/^[+-]?\d+$/.test(text.trim()) || value < min || value > (max ?? Number.MAX_SAFE_INTEGER)
    ) {
      throw outOfRange("a whole number", text, { min, max });
    }
    return value;
  };
}

/**
 * Makes a parser of decimal numbers within bounds.
 *
 * @example
 * ```ts
 * flag("--repeat-ratio <share>", "share of repeats").argParser(parseNumber({ max: 1 }));
 * ```
 */
export function parseNumber({ min = 0, max }: NumberBounds = {}): (text: string) => number {
  return function parseNumberInBounds(text: string): number {
    const value = text.trim() === "" ? NaN : Number(text);
    if (!Number.isFinite(value) || value < min || value > (max ?? Number.MAX_VALUE)) {
      throw outOfRange("a number", text, { min, max });
    }
    return value;
  };
}

/** In the words of Deno's standard library; commander puts the flag's or variable's name before it. */
function outOfRange(
  what: string,
  text: string,
  { min, max }: { min: number | string | undefined; max: number | string | undefined },
): InvalidArgumentError {
  const bounds = max === undefined
    ? min === undefined ? "" : ` of at least ${min}`
    : min === undefined
    ? ` of at most ${max}`
    : ` from ${min} to ${max}`;
  return new InvalidArgumentError(`Give ${what}${bounds}: current value is '${text}'.`);
}

/** Options of {@linkcode parseDuration}. */
export interface DurationOptions {
  /** What a bare number counts: milliseconds or seconds. A wire contract's, or that of the flag's name. */
  unit: "ms" | "s";
  /** The shortest duration that is taken, in milliseconds. @default 0 */
  minMs?: number;
  /** The longest duration that is taken, in milliseconds. @default 2 ** 31 - 1, 24 days: a timer counts no further */
  maxMs?: number;
}

const longestTimerMs = 2 ** 31 - 1;

const millisecondsOf: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};
/** The parsers of durations, so that the help says how these are written. */
// deno-lint-ignore no-explicit-any -- as commander has it: a parser of whatever
const durationParsers = new WeakSet<(text: string, previous: any) => unknown>();

/**
 * Makes a parser of durations: `500ms`, `30s`, `5m`, `1h`, or a bare number in `unit`.
 *
 * @returns a parser that gives milliseconds, whatever the unit
 *
 * @example
 * ```ts
 * flag("--request-timeout-ms <ms>", "how long one call may take")
 *   .argParser(parseDuration({ unit: "ms", minMs: 1, maxMs: 600_000 })).default(10_000);
 * ```
 */
export function parseDuration(
  { unit, minMs = 0, maxMs = longestTimerMs }: DurationOptions,
): (text: string) => number {
  function parseDurationInBounds(text: string): number {
    const [, amount, suffix = unit] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h)?$/i.exec(text.trim()) ?? [];
    if (amount === undefined) {
      throw outOfRange("a duration such as 30s, 500ms, 5m or 1h", text, {
        min: undefined,
        max: undefined,
      });
    }
    const durationMs = Number(amount) * millisecondsOf[suffix.toLowerCase()]!;
    if (!(durationMs >= minMs && durationMs <= maxMs)) {
      throw outOfRange("a duration", text, {
        min: formatDuration(minMs),
        max: maxMs !== longestTimerMs
          ? formatDuration(maxMs)
          : durationMs > maxMs
          ? "24 days"
          : undefined,
      });
    }
    return durationMs;
  }
  durationParsers.add(parseDurationInBounds);
  return parseDurationInBounds;
}

/** As {@linkcode parseDuration} reads it, in the largest unit that leaves a whole number: `10s`, `1500ms`, `5m`. */
function formatDuration(durationMs: number): string {
  if (durationMs === 0) return "0";
  for (const [unit, ms] of Object.entries(millisecondsOf).reverse()) {
    if (durationMs % ms === 0) return `${durationMs / ms}${unit}`;
  }
  return `${durationMs}ms`;
}

function isDuration(option: Option): boolean {
  return option.parseArg !== undefined && durationParsers.has(option.parseArg);
}

function showDefaultDuration(option: Option): void {
  if (isDuration(option) && typeof option.defaultValue === "number") {
    option.defaultValueDescription ??= formatDuration(option.defaultValue);
  }
}

/** One line under the flags, if there is a duration among them. */
// deno-lint-ignore no-explicit-any -- a command of any arguments and options; nothing of it leaves
function durationHelp(command: Command<any, any, any>): string {
  return command.options.some(isDuration)
    ? "\nDurations are written 500ms, 30s, 5m or 1h; a bare number has the unit that the flag names."
    : "";
}

const byteUnits = { "": 1, k: 1e3, kb: 1e3, kib: 1024, mb: 1e6, mib: 1024 ** 2, gib: 1024 ** 3 };

/**
 * A number of bytes: `1048576`, `512 KiB`, `10MiB`, `1GiB`.
 *
 * @example
 * ```ts
 * flag("--max-body <bytes>", "the most bytes of one body").argParser(parseByteCount);
 * ```
 */
export function parseByteCount(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(k|kb|kib|mb|mib|gib)?\s*$/i.exec(text);
  const bytes = match
    ? Number(match[1]) * byteUnits[(match[2] ?? "").toLowerCase() as keyof typeof byteUnits]
    : NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw outOfRange("a number of bytes such as 1048576, 512KiB or 10MiB", text, {
      min: undefined,
      max: undefined,
    });
  }
  return bytes;
}

/**
 * An absolute `http:` or `https:` URL.
 *
 * @example
 * ```ts
 * flag("--forward <url>", "another OTLP/HTTP endpoint").argParser(parseHttpUrl);
 * ```
 */
export function parseHttpUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidArgumentError(
      `Give an absolute URL such as http://127.0.0.1:4318: current value is '${text}'.`,
    );
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new InvalidArgumentError(
      `Give a URL that begins with http:// or https://: current value is '${text}'.`,
    );
  }
  return text;
}

export { InvalidArgumentError };
