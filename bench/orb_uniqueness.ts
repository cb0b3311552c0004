#!/usr/bin/env -S deno run --allow-read --allow-write
/**
 * Whether images that signed up before are recognised, and how fast.
 *
 * - The look-up among 1,000,000 perceptual hashes against a comparison with each of them, in turns.
 * - False accepts and false rejects on synthetic irises, as a table and as a curve (DET, "detection
 *   error tradeoff") in `docs/orb_uniqueness_det.svg`. The eyes are made by `orb/iris_image.ts`: no
 *   person's, evenly lit, seen from the front. The figures say how the method behaves as noise,
 *   rotation, crop, blur and another encoding are added; they say nothing of real eyes.
 *
 * ```sh
 * deno run -A bench/orb_uniqueness.ts      # 40 eyes
 * deno run -A bench/orb_uniqueness.ts 100  # more
 * ```
 *
 * @module
 */
import { randomSource } from "../orb/iris_image.ts";
import { decodeImage } from "../orb/uniqueness/decode_image.ts";
import type { GreyImage } from "../orb/uniqueness/grey_image.ts";
import { HammingIndex } from "../orb/uniqueness/hamming_index.ts";
import { ImageError } from "../orb/uniqueness/image_header.ts";
import { type IrisCode, irisCodeOf, irisDistance } from "../orb/uniqueness/iris_code.ts";
import { perceptualHash, popCount } from "../orb/uniqueness/perceptual_hash.ts";
import { asJpeg, type Distortion, photograph } from "../orb/uniqueness/test_iris_captures.ts";
import { defaultThresholds } from "../orb/uniqueness/uniqueness.ts";
import { detChart, type DetCurve } from "./det_chart.ts";
import { report } from "./report.ts";

const chartFile = new URL("../docs/orb_uniqueness_det.svg", import.meta.url);

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

/** Look-ups of hashes that are spread evenly, half of them near one that is held. */
function lookUp(count: number): void {
  const random = randomSource(1);
  const half = () => Math.floor(random() * 2 ** 32) >>> 0;
  const index = new HammingIndex();
  const held = Array.from({ length: count }, () => [half(), half()] as const);
  for (const hash of held) index.add(...hash);
  const probe = (): readonly [number, number] => {
    if (random() < .5) return [half(), half()];
    const [high, low] = held[Math.floor(random() * count)]!;
    return [(high ^ (1 << Math.floor(random() * 32))) >>> 0, (low ^ 5) >>> 0];
  };
  for (const distance of [defaultThresholds.perceptual, 8, 10]) {
    // The first makes the tables, and both are compiled before they are measured.
    for (let count = 0; count < 50; count++) index.nearest(...probe(), distance);
    for (let count = 0; count < 10; count++) index.scan(...probe(), distance);
    const times = { index: [] as number[], scan: [] as number[] };
    for (let round = 0; round < 2_000; round++) {
      const hash = probe();
      let startMs = performance.now();
      index.nearest(...hash, distance);
      times.index.push(performance.now() - startMs);
      if (round % 20 !== 0) continue;
      startMs = performance.now();
      index.scan(...hash, distance);
      times.scan.push(performance.now() - startMs);
    }
    for (const list of [times.index, times.scan]) list.sort((a, b) => a - b);
    const name = `orb: perceptual look-up at ${count.toLocaleString("en-US")}, ${distance} bits`;
    report({ name: `${name}, p50 in ms`, measured: percentile(times.index, .5) });
    report({
      name: `${name}, p99 in ms`,
      measured: percentile(times.index, .99),
      target: { atMost: 1 },
    });
    report({ name: `${name}, linear scan p50 in ms`, measured: percentile(times.scan, .5) });
    report({
      name: `${name}, times as fast as the scan (p50)`,
      measured: percentile(times.scan, .5) / percentile(times.index, .5),
    });
  }
}

/** What is done to a photograph, one thing at a time and all at once. */
const distortions: Readonly<Record<string, Distortion & { quality?: number }>> = {
  "noise 12": { noise: 12 },
  "rotation 6°": { rotation: 6 },
  "crop 6 %": { crop: .06 },
  "blur 2.5": { blur: 2.5 },
  "JPEG 40": { quality: 40 },
  "all": { noise: 8, rotation: -4, crop: .03, blur: 1.5, quality: 60 },
  // What no honest camera delivers: where the methods begin to fail.
  "harsh": { noise: 60, rotation: 12, crop: .06, blur: 6, scale: .35, quality: 15 },
};

interface Described {
  readonly hash: Uint32Array;
  /** None where no iris was found: a false reject. */
  readonly code: IrisCode | undefined;
}

function describe(eye: number, { quality, ...distortion }: Distortion & { quality?: number }) {
  let image: GreyImage = photograph(eye, distortion);
  if (quality !== undefined) image = decodeImage(asJpeg(image, quality));
  let code: IrisCode | undefined;
  try {
    code = irisCodeOf(image);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
  }
  return { hash: perceptualHash(image), code };
}

/** The distance by each method; without a code, the greatest. */
const methods = {
  perceptual: (a: Described, b: Described) =>
    popCount(a.hash[0]! ^ b.hash[0]!) + popCount(a.hash[1]! ^ b.hash[1]!),
  iris: (a: Described, b: Described) =>
    a.code && b.code ? irisDistance(a.code, b.code).distance : 1,
} as const;

/** Greatest values that a threshold runs through. */
const scales = { perceptual: 64, iris: .6 } as const;

function curves(eyes: number): void {
  const enrolled = Array.from({ length: eyes }, (_, eye) => describe(eye + 1, {}));
  const kinds = { "the same photograph": undefined, "another photograph": 1_000 };
  const drawn: DetCurve[] = [];
  const impostors = Object.fromEntries(
    (["perceptual", "iris"] as const).map((mode) => [mode, impostorDistances(enrolled, mode)]),
  );
  for (const [kind, captures] of Object.entries(kinds)) {
    const genuine: Record<"perceptual" | "iris", Record<string, number[]>> = {
      perceptual: {},
      iris: {},
    };
    for (const [name, distortion] of Object.entries(distortions)) {
      for (let eye = 0; eye < eyes; eye++) {
        const capture = captures === undefined ? {} : { capture: captures + eye };
        const probe = describe(eye + 1, { ...distortion, ...capture });
        for (const mode of ["perceptual", "iris"] as const) {
          (genuine[mode][name] ??= []).push(methods[mode](enrolled[eye]!, probe));
        }
      }
    }
    for (const mode of ["perceptual", "iris"] as const) {
      const all = Object.values(genuine[mode]).flat();
      tell(mode, kind, genuine[mode], impostors[mode]!);
      drawn.push({
        name: `${mode}, ${kind}`,
        points: Array.from({ length: 257 }, (_, step) => {
          const threshold = scales[mode] * step / 256;
          return {
            falseAccepts: shareWithin(impostors[mode]!, threshold),
            falseRejects: 1 - shareWithin(all, threshold),
          };
        }),
      });
    }
  }
  const pairs = eyes * (eyes - 1) / 2;
  const subtitle = `${eyes} synthetic eyes: ${pairs} pairs of two, ${
    eyes * Object.keys(distortions).length
  } of one`;
  Deno.writeTextFileSync(
    chartFile,
    detChart({ title: "Uniqueness of irises", subtitle, curves: drawn }),
  );
  print(`  curve: ${chartFile.pathname.split("/").slice(-2).join("/")}; all eyes are synthetic`);
}

function impostorDistances(enrolled: readonly Described[], mode: "perceptual" | "iris"): number[] {
  return enrolled.flatMap((a, first) => enrolled.slice(0, first).map((b) => methods[mode](a, b)));
}

function shareWithin(distances: readonly number[], threshold: number): number {
  return distances.filter((distance) => distance <= threshold).length / distances.length;
}

function tell(
  mode: "perceptual" | "iris",
  kind: string,
  genuine: Readonly<Record<string, readonly number[]>>,
  impostors: readonly number[],
): void {
  const threshold = defaultThresholds[mode];
  const rejects = Object.entries(genuine).map(([name, distances]) =>
    `${name} ${percent(1 - shareWithin(distances, threshold))}`
  );
  print(`  ${mode} at ${threshold}, ${kind} (synthetic): false rejects ${rejects.join(", ")}`);
  print(
    `  ${mode} at ${threshold}: false accepts ${
      percent(shareWithin(impostors, threshold))
    } of ${impostors.length}; nearest two eyes ${Math.min(...impostors).toFixed(3)}`,
  );
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0 && share < .01 ? 2 : 0)} %`;
}

if (import.meta.main) {
  lookUp(1_000_000);
  curves(Number(Deno.args[0] ?? 40));
}
