/**
 * A run as a link: version, seed, options and decisions, compressed, so that whoever opens it sees
 * the same run. What does not fit into an address is a file.
 *
 * @module
 */
import { deflateSync, inflateSync } from "fflate";
import { decodeBase64 } from "../../service/base64.ts";
import { areInterventions } from "../simulation/interventions.ts";
import {
  checkOptions,
  type Decision,
  type EngineInput,
  parseRecord,
  type RunOptions,
  type RunRecord,
} from "../simulation/engine.ts";

/** An address with everything in it stays below that. */
export const maxLinkLength = 2_000;

/** A file that is opened is at most so large. */
export const maxFileBytes = 4_000_000;

const version = 1;

/** What a link holds, by letters that are short in it. */
interface Packed {
  readonly v: number;
  readonly s: number;
  readonly p?: number;
  readonly g?: Partial<RunOptions>;
  readonly r?: readonly Decision[];
  readonly c?: readonly Decision[];
  readonly i?: EngineInput["interventions"];
  /** Without variance. */
  readonly j?: 0;
}

/** Packs a run into text for an address. */
export function encodeRun(input: EngineInput): string {
  const { seed, plant = 0, given = {}, replay, changes = [], interventions = [], jitter = true } =
    input;
  const packed: Packed = {
    v: version,
    s: seed,
    ...(plant !== 0 && { p: plant }),
    ...(Object.keys(given).length > 0 && { g: given }),
    ...(replay && { r: replay }),
    ...(changes.length > 0 && { c: changes }),
    ...(interventions.length > 0 && { i: interventions }),
    ...(!jitter && { j: 0 as const }),
  };
  const bytes = deflateSync(new TextEncoder().encode(JSON.stringify(packed)), { level: 9 });
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/**
 * Unpacks what {@linkcode encodeRun} has packed.
 *
 * @throws {TypeError} it is no run, with what is wrong with it
 */
export function decodeRun(text: string): EngineInput {
  if (text.length > maxLinkLength) throw new TypeError("The link is too long");
  const damaged = "The link was cut short or changed on its way";
  const compressed = decodeBase64(text, "base64url");
  if (compressed === undefined) throw new TypeError(damaged);
  let packed: Partial<Packed>;
  try {
    // A little text can become very much: it must not, whoever has made the link.
    const bytes = inflateSync(compressed, { out: new Uint8Array(200_000) });
    packed = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new TypeError(damaged);
  }
  if (packed === null || typeof packed !== "object") throw new TypeError("The link holds no run");
  if (packed.v !== version) {
    throw new TypeError(`The link is of version ${packed.v}; this page knows version ${version}`);
  }
  return checkedInput({
    seed: packed.s!,
    plant: packed.p ?? 0,
    given: packed.g ?? {},
    ...(packed.r && { replay: packed.r }),
    ...(packed.c && { changes: packed.c }),
    ...(packed.i && { interventions: packed.i }),
    jitter: packed.j === undefined,
  });
}

/**
 * The run of a file: what `simulate run --record` and `shrink` have written, or this page.
 *
 * @throws {TypeError} it is none
 */
export function inputOfFile(text: string): EngineInput {
  const record: RunRecord = parseRecord(text);
  const { seed, plant, jitter, decisions, interventions = [] } = record;
  // What runs live writes its bug among its options, too.
  const { plant: _, ...given } = record.options as RunOptions & { plant?: number };
  return checkedInput({ seed, plant, given, jitter, replay: decisions, interventions });
}

/**
 * A run that came from outside, if a page may run it.
 *
 * @throws {TypeError} it may not
 */
export function checkedInput(input: EngineInput): EngineInput {
  const { seed, plant = 0, given = {}, replay = [], changes = [], interventions = [] } = input;
  if (!Number.isInteger(seed) || seed < -0x8000_0000 || seed > 0xffff_ffff) {
    throw new TypeError(`The seed must be a 32-bit integer, not ${String(seed)}`);
  }
  if (!Number.isInteger(plant) || plant < 0 || plant > 24) {
    throw new TypeError(`There is no planted bug ${String(plant)}: they are 1 to 24`);
  }
  if (!areDecisions(replay) || !areDecisions(changes)) {
    throw new TypeError("Its decisions are not pairs of a name and a number");
  }
  if (!areInterventions(interventions) || interventions.length > 1_000) {
    throw new TypeError("What was done by hand in it cannot be read");
  }
  checkOptions(given);
  return input;
}

function areDecisions(value: unknown): value is readonly Decision[] {
  return Array.isArray(value) && value.length <= 20_000 &&
    value.every((one: unknown) =>
      Array.isArray(one) && one.length === 2 && typeof one[0] === "string" &&
      typeof one[1] === "number" && Number.isFinite(one[1])
    );
}
