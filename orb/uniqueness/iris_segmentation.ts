/**
 * Finds the pupil, the iris and the lids in an infrared image of an eye.
 *
 * By J. Daugman's integro-differential operator ("How Iris Recognition Works", 2004): the circle
 * on whose edge the mean grey level changes most from one radius to the next; and the same along
 * arcs for the lids. It knows eyes that look at the camera, with a dark pupil; open-iris uses a
 * trained network here, which is what a real camera's images need.
 *
 * @module
 */
import { type GreyImage, levelAt, resized } from "./grey_image.ts";
import { ImageError } from "./image_header.ts";

/** A circle, in pixels. */
export interface Circle {
  /** Centre's column. */
  readonly x: number;
  /** Centre's row. */
  readonly y: number;
  /** Radius. */
  readonly radius: number;
}

/** A lid's edge: the row `y + tilt · dx + bend · dx²`, with `dx` the columns from the iris's centre. */
export interface LidEdge {
  /** Row below or above the iris's centre. */
  readonly y: number;
  /** Rows a column. */
  readonly tilt: number;
  /** Rows a column and column. */
  readonly bend: number;
}

/** Where things are in an image. */
export interface EyeGeometry {
  /** The pupil's edge. */
  readonly pupil: Circle;
  /** The iris's outer edge. */
  readonly iris: Circle;
  /** The upper lid's edge, where it covers some of the iris. */
  readonly upperLid: LidEdge | undefined;
  /** The lower lid's edge, where it covers some of the iris. */
  readonly lowerLid: LidEdge | undefined;
}

/** Images are made so small before anything is looked for: noise goes, and it takes milliseconds. */
const workingSide = 160;
/** Smaller images show no iris. */
const minSide = 64;
/** An edge weaker than so many grey levels is none. */
const minPupilStep = 15;
const minIrisStep = 8;
const minLidStep = 14;

/**
 * Finds an eye.
 *
 * @throws {ImageError} there is none, or not enough of it.
 *
 * @example
 * ```ts
 * const { pupil, iris } = findEye(decodeImage(png));
 * ```
 */
export function findEye(image: GreyImage): EyeGeometry {
  const { width, height } = image;
  if (Math.min(width, height) < minSide) throw noIris(`it has only ${width} × ${height} pixels`);
  const scale = Math.max(1, Math.max(width, height) / workingSide);
  const small = scale === 1
    ? image
    : resized(image, Math.round(width / scale), Math.round(height / scale));

  const pupil = findPupil(small);
  const iris = findIris(small, pupil);
  const scaled = ({ x, y, radius }: Circle): Circle => ({
    // Pixels' centres, not their corners, are scaled.
    x: (x + .5) * scale - .5,
    y: (y + .5) * scale - .5,
    radius: radius * scale,
  });
  const scaledLid = (lid: LidEdge | undefined) =>
    lid && { y: lid.y * scale, tilt: lid.tilt, bend: lid.bend / scale };
  return {
    pupil: scaled(pupil),
    iris: scaled(iris),
    upperLid: scaledLid(findLid(small, iris, -1)),
    lowerLid: scaledLid(findLid(small, iris, 1)),
  };
}

function noIris(reason: string): ImageError {
  return new ImageError("iris", `No iris is seen in the image: ${reason}.`);
}

/** The darkest large spot, and from there the circle with the strongest edge. */
function findPupil(image: GreyImage): Circle {
  const spot = darkSpot(image);
  const least = Math.max(4, spot.radius * .6);
  const found = strongestCircle(image, {
    centre: spot,
    reach: spot.radius * .35,
    radii: [least, spot.radius * 1.4],
    arcs: wholeCircle,
  });
  if (found.step < minPupilStep) throw noIris("no dark pupil has an edge");
  return found.circle;
}

function findIris(image: GreyImage, pupil: Circle): Circle {
  const most = Math.min(pupil.radius * 5, Math.max(image.width, image.height) * .6);
  const found = strongestCircle(image, {
    centre: pupil,
    // The pupil lies a little off its centre as a rule.
    reach: pupil.radius * .2,
    radii: [pupil.radius * 1.5, most],
    arcs: sideArcs,
  });
  if (found.step < minIrisStep) throw noIris("nothing around the pupil has an edge");
  return found.circle;
}

/** The largest connected dark area, as the circle of that area around its centre. */
function darkSpot({ width, height, levels }: GreyImage): Circle {
  const sorted = Float32Array.from(levels).sort();
  const darkest = sorted[Math.floor(sorted.length * .01)]!;
  const middle = sorted[Math.floor(sorted.length * .5)]!;
  const threshold = darkest + (middle - darkest) * .3;
  const areaOf = new Int32Array(width * height);
  let best = { size: 0, x: 0, y: 0 };
  for (let start = 0; start < areaOf.length; start++) {
    if (areaOf[start] !== 0 || levels[start]! > threshold) continue;
    const area = filled(start, { width, height, levels }, threshold, areaOf);
    if (area.size > best.size && !area.atBorder) best = area;
  }
  const radius = Math.sqrt(best.size / Math.PI);
  if (radius < 4) throw noIris("nothing in it is as dark and as large as a pupil");
  return { x: best.x, y: best.y, radius };
}

/** Marks what is dark and connected to a pixel; says how large it is and where. */
function filled(
  start: number,
  { width, height, levels }: GreyImage,
  threshold: number,
  marked: Int32Array,
): { size: number; x: number; y: number; atBorder: boolean } {
  const waiting = [start];
  marked[start] = 1;
  let size = 0;
  let sumX = 0;
  let sumY = 0;
  let atBorder = false;
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const x = at % width;
    const y = (at - x) / width;
    size++;
    sumX += x;
    sumY += y;
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) {
      atBorder = true;
      if (x === 0 || x === width - 1) continue;
    }
    for (const near of [at - 1, at + 1, at - width, at + width]) {
      if (near < 0 || near >= marked.length) continue;
      if (marked[near] !== 0 || levels[near]! > threshold) continue;
      marked[near] = 1;
      waiting.push(near);
    }
  }
  return { size, x: sumX / size, y: sumY / size, atBorder };
}

/** Directions in which a circle is looked at, as cosine and sine. */
type Directions = readonly (readonly [cosine: number, sine: number])[];

const wholeCircle = directions([[0, 360]], 48);
/** Left and right, where no lid covers the iris. */
const sideArcs = directions([[-40, 30], [150, 220]], 24);

function directions(ranges: readonly (readonly [number, number])[], count: number): Directions {
  return ranges.flatMap(([from, to]) =>
    Array.from({ length: count }, (_, index) => {
      const angle = (from + (to - from) * index / count) * Math.PI / 180;
      return [Math.cos(angle), Math.sin(angle)] as const;
    })
  );
}

interface CircleSearch {
  /** Where the centre is thought to be. */
  readonly centre: { readonly x: number; readonly y: number };
  /** How far off it may be. */
  readonly reach: number;
  /** Least and greatest radius. */
  readonly radii: readonly [number, number];
  readonly arcs: Directions;
}

/** The circle from whose inside to its outside the mean level rises most: first coarse, then fine. */
function strongestCircle(
  image: GreyImage,
  search: CircleSearch,
): { circle: Circle; step: number } {
  let best = { circle: { ...search.centre, radius: search.radii[0] }, step: 0 };
  let { centre, reach, radii } = search;
  for (const stepsAcross of [4, 4, 4]) {
    const pace = Math.max(.25, reach / stepsAcross);
    for (let dy = -reach; dy <= reach + 1e-9; dy += pace) {
      for (let dx = -reach; dx <= reach + 1e-9; dx += pace) {
        const found = strongestRadius(image, centre.x + dx, centre.y + dy, radii, search.arcs);
        if (found.step > best.step) {
          best = {
            circle: { x: centre.x + dx, y: centre.y + dy, radius: found.radius },
            step: found.step,
          };
        }
      }
    }
    centre = best.circle;
    reach = pace;
    radii = [
      Math.max(search.radii[0], best.circle.radius - 4),
      Math.min(search.radii[1], best.circle.radius + 4),
    ];
  }
  return best;
}

/** The radius at which the mean level rises most: that of 2 pixels outside less that of 2 inside. */
function strongestRadius(
  image: GreyImage,
  x: number,
  y: number,
  [least, most]: readonly [number, number],
  arcs: Directions,
): { radius: number; step: number } {
  const pace = .5;
  const first = least - 2;
  const count = Math.max(1, Math.ceil((most + 2 - first) / pace) + 1);
  const means = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    means[index] = arcMean(image, x, y, first + index * pace, arcs);
  }
  let best = { radius: least, step: 0 };
  for (let index = 4; index + 4 < count; index++) {
    const inside = means[index - 4]! + means[index - 3]! + means[index - 2]! + means[index - 1]!;
    const outside = means[index + 1]! + means[index + 2]! + means[index + 3]! + means[index + 4]!;
    const step = (outside - inside) / 4;
    if (step > best.step) best = { radius: first + index * pace, step };
  }
  return best;
}

function arcMean(image: GreyImage, x: number, y: number, radius: number, arcs: Directions): number {
  let sum = 0;
  for (const [cosine, sine] of arcs) sum += levelAt(image, x + radius * cosine, y + radius * sine);
  return sum / arcs.length;
}

/**
 * The arc above (`side` -1) or below (1) the iris's centre along which the level changes most: the
 * lid is brighter than the iris, and darker than the sclera at times, but it throws a shadow.
 */
function findLid(image: GreyImage, iris: Circle, side: -1 | 1): LidEdge | undefined {
  const { radius } = iris;
  let best: LidEdge | undefined;
  let bestStep = minLidStep;
  for (const bendShare of [.05, .2, .35, .5]) {
    const bend = -side * bendShare / radius;
    for (let tilt = -.3; tilt <= .31; tilt += .05) {
      for (let share = .25; share <= 1; share += .02) {
        const edge = { y: side * share * radius, tilt, bend };
        const step = lidStep(image, iris, edge, side);
        if (step > bestStep) {
          best = edge;
          bestStep = step;
        }
      }
    }
  }
  return best;
}

/** How much brighter it is behind a lid's edge than before it. */
function lidStep(image: GreyImage, iris: Circle, edge: LidEdge, side: -1 | 1): number {
  const samples = 17;
  const gap = Math.max(1.5, iris.radius * .025);
  let sum = 0;
  for (let index = 0; index < samples; index++) {
    const dx = iris.radius * .75 * (2 * index / (samples - 1) - 1);
    const y = iris.y + edge.y + edge.tilt * dx + edge.bend * dx * dx;
    if (y < 0 || y >= image.height) return 0;
    sum += levelAt(image, iris.x + dx, y + side * gap) -
      levelAt(image, iris.x + dx, y - side * gap);
  }
  return sum / samples;
}
