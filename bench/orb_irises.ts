/**
 * How fast an iris is looked up among many, and how many that are there are missed: the index by
 * beacons against a comparison with every code, in turns.
 *
 * The codes among which it is looked up are put together from the rows of some synthetic eyes, each
 * row of another eye, and turned, which is as unlike each of them as another eye is. What is looked
 * for are other photographs of those eyes, with more and more done to them, and, as few of those lie
 * near the threshold, codes of which runs of bits are another eye's. No person's eyes.
 *
 * ```sh
 * deno run -A bench/orb_irises.ts           # among 100,000
 * deno run -A bench/orb_irises.ts 1000000   # some 2 GB of memory
 * ```
 *
 * @module
 */
import { cpuUsage } from "node:process";
import { randomSource } from "../orb/iris_image.ts";
import { decodeImage } from "../orb/uniqueness/decode_image.ts";
import { ImageError } from "../orb/uniqueness/image_header.ts";
import {
  codeRows,
  type IrisCode,
  irisCodeOf,
  irisDistance,
  rowWords,
  shifted,
} from "../orb/uniqueness/iris_code.ts";
import { IrisIndex } from "../orb/uniqueness/iris_index.ts";
import { asJpeg, photograph } from "../orb/uniqueness/test_iris_captures.ts";
import { defaultThresholds } from "../orb/uniqueness/uniqueness.ts";
import { median, report } from "./report.ts";

const eyes = 24;
const random = randomSource(3);
const threshold = defaultThresholds.iris;
const planes = ["real", "imaginary", "mask"] as const;

/** Worse and worse: the last ones lie about the threshold. */
const distortions = [
  {},
  { noise: 12, rotation: 6 },
  { noise: 8, rotation: -4, crop: .03, blur: 1.5, quality: 60 },
  { noise: 30, rotation: 5, crop: .04, blur: 3, scale: .5, quality: 30 },
  { noise: 40, rotation: 8, crop: .05, blur: 4, scale: .4, quality: 20 },
  { noise: 50, rotation: 8, crop: .05, blur: 5, scale: .4, quality: 20 },
  { noise: 45, rotation: 10, crop: .06, blur: 5, scale: .35, quality: 18 },
];

/** The code of another photograph; nothing where no iris is found in it. */
function probeOf(eye: number, distortion: typeof distortions[number]): IrisCode | undefined {
  const { quality, ...rest } = distortion as { quality?: number };
  try {
    const image = photograph(eye, { ...rest, capture: 1_000 + eye });
    return irisCodeOf(quality === undefined ? image : decodeImage(asJpeg(image, quality)));
  } catch (error) {
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}

/** Each row of another eye. */
function mixed(codes: readonly IrisCode[]): IrisCode {
  const code = {
    real: new Uint32Array(codeRows * rowWords),
    imaginary: new Uint32Array(codeRows * rowWords),
    mask: new Uint32Array(codeRows * rowWords),
  };
  for (let row = 0; row < codeRows; row++) {
    const from = shifted(
      codes[Math.floor(random() * codes.length)]!,
      Math.floor(random() * 256),
    );
    for (const plane of planes) {
      code[plane].set(from[plane].subarray(row * rowWords, (row + 1) * rowWords), row * rowWords);
    }
  }
  return code;
}

/** Comparisons with every code: among a million each takes a quarter of a minute and more. */
const maxScans = 5;
/** Runs of so many columns are wrong together, as a reflection or a lash makes them. */
const runColumns = 8;

/** The same code with so many of its runs another eye's. */
function worn(code: IrisCode, other: IrisCode, share: number): IrisCode {
  const result = { ...code, real: code.real.slice(), imaginary: code.imaginary.slice() };
  for (let row = 0; row < codeRows; row++) {
    for (let first = 0; first < 32 * rowWords; first += runColumns) {
      if (random() >= share) continue;
      const word = row * rowWords + (first >> 5);
      const bits = (2 ** runColumns - 1) << (first & 31);
      for (const plane of ["real", "imaginary"] as const) {
        result[plane][word] = (result[plane][word]! & ~bits) | (other[plane][word]! & bits);
      }
    }
  }
  return result;
}

/** What is looked for, and of which eye it is. */
function* probes(enrolled: readonly IrisCode[]): Iterable<{ eye: number; probe: IrisCode }> {
  for (const distortion of distortions) {
    for (let eye = 0; eye < eyes; eye++) {
      const probe = probeOf(eye + 1, distortion);
      if (probe !== undefined) yield { eye, probe };
    }
  }
  for (let share = .3; share < .64; share += .02) {
    for (let eye = 0; eye < eyes; eye++) {
      const other = mixed(enrolled);
      const columns = Math.floor(random() * 31) - 15;
      yield { eye, probe: shifted(worn(enrolled[eye]!, other, share), columns) };
    }
  }
}

/** Processor time of this process, in milliseconds: a busy machine changes it least. */
function processorMs(): number {
  const { user, system } = cpuUsage();
  return (user + system) / 1_000;
}

function timed<Result>(
  times: number[],
  work: () => Result,
  nowMs: () => number = () => performance.now(),
): Result {
  const startMs = nowMs();
  const result = work();
  times.push(nowMs() - startMs);
  return result;
}

function measure(count: number): void {
  const enrolled = Array.from({ length: eyes }, (_, eye) => irisCodeOf(photograph(eye + 1, {})));
  const index = new IrisIndex();
  const adding: number[] = [];
  const every = Math.floor(count / eyes);
  const placeOf = new Map<number, number>();
  for (let place = 0; place < count; place++) {
    const eye = placeOf.size < eyes && place % every === 0 ? placeOf.size : undefined;
    const code = eye === undefined ? mixed(enrolled) : enrolled[eye]!;
    if (eye !== undefined) placeOf.set(eye, place);
    timed(adding, () => index.add(code));
  }
  const name = `orb: iris look-up among ${count.toLocaleString("en-US")}`;
  report({
    name: `${name}: adding one, mean, ms`,
    measured: adding.reduce((a, b) => a + b) / count,
  });

  const times: number[] = [];
  const processorTimes: number[] = [];
  const scans: number[] = [];
  const bins = [[0, .1], [.1, .2], [.2, .26], [.26, .29], [.29, threshold]] as const;
  const found = bins.map(() => ({ found: 0, all: 0 }));
  let isWrong = 0;
  for (const { eye, probe } of probes(enrolled)) {
    const { distance } = irisDistance(enrolled[eye]!, probe);
    const nearest = timed(
      processorTimes,
      () => timed(times, () => index.nearest(probe, threshold)),
      processorMs,
    );
    if (times.length % 50 === 1 && scans.length < maxScans) {
      timed(scans, () => index.scan(probe, threshold));
    }
    if (nearest !== undefined && nearest.place !== placeOf.get(eye)) isWrong++;
    const bin = bins.findIndex(([from, to]) => distance <= to && distance >= from);
    if (bin < 0) continue;
    found[bin]!.all++;
    if (nearest?.place === placeOf.get(eye)) found[bin]!.found++;
  }
  times.sort((a, b) => a - b);
  report({ name: `${name}: p50, ms`, measured: median(times) });
  report({ name: `${name}: p99, ms`, measured: times[Math.floor(times.length * .99)]! });
  report({ name: `${name}: p50, ms of processor time`, measured: median(processorTimes) });
  report({ name: `${name}: comparing with each, p50, ms`, measured: median(scans) });
  report({ name: `${name}: times as fast (p50)`, measured: median(scans) / median(times) });
  report({ name: `${name}: another eye given, of ${times.length}`, measured: isWrong });
  bins.forEach(([from, to], at) => {
    const { found: yes, all } = found[at]!;
    report({
      name: `${name}: found of ${all} at a distance of ${from} to ${to}`,
      measured: all === 0 ? NaN : yes / all,
    });
  });
}

if (import.meta.main) measure(Number(Deno.args[0] ?? 100_000));
