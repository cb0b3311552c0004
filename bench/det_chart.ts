/**
 * Draws detection error tradeoff curves: false rejects over false accepts, both on scales of
 * tenfold steps, as an SVG that is read in light and in dark.
 *
 * @module
 */

/** One curve. */
export interface DetCurve {
  /** What it is of. */
  readonly name: string;
  /** Shares, 0 to 1, one a threshold. */
  readonly points: readonly { readonly falseAccepts: number; readonly falseRejects: number }[];
}

/** What is drawn. */
export interface DetChart {
  readonly title: string;
  /** On how much it rests. */
  readonly subtitle: string;
  readonly curves: readonly DetCurve[];
}

/** Shares below are drawn at the edge: fewer were not tried. */
const least = 1e-4;
const left = 80;
const top = 70;
const size = 400;

/** Okabe and Ito's colours, told apart by dashes as well. */
const looks = [
  ["#0072B2", ""],
  ["#D55E00", ""],
  ["#0072B2", "6 4"],
  ["#D55E00", "6 4"],
] as const;

/**
 * Draws.
 *
 * @example
 * ```ts
 * Deno.writeTextFileSync("det.svg", detChart({ title, subtitle, curves }));
 * ```
 */
export function detChart({ title, subtitle, curves }: DetChart): string {
  const height = top + size + 60 + 22 * curves.length;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${
      left + size + 60
    } ${height}" role="img" aria-label="${title}: false rejects over false accepts">`,
    "<style>text{font:13px system-ui,sans-serif;fill:#333}.grid{stroke:#8884}.back{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}.back{fill:#16191d}}</style>",
    `<rect class="back" width="100%" height="100%"/>`,
    `<text x="${left}" y="28" style="font-size:16px;font-weight:600">${title}</text>`,
    `<text x="${left}" y="48">${subtitle}</text>`,
    ...axes(),
    ...curves.flatMap((curve, index) => drawn(curve, index)),
    "</svg>",
  ];
  return lines.join("\n") + "\n";
}

function place(share: number): number {
  return size * (1 - Math.log10(Math.max(share, least)) / Math.log10(least));
}

function axes(): string[] {
  const ticks = [1e-4, 1e-3, 1e-2, 1e-1, 1].map((share) => {
    const x = left + place(share);
    const y = top + size - place(share);
    const label = share === least ? "≤ 0.01 %" : `${100 * share} %`;
    return [
      `<line class="grid" x1="${x}" x2="${x}" y1="${top}" y2="${top + size}"/>`,
      `<line class="grid" x1="${left}" x2="${left + size}" y1="${y}" y2="${y}"/>`,
      `<text x="${x}" y="${top + size + 18}" text-anchor="middle">${label}</text>`,
      `<text x="${left - 8}" y="${y + 4}" text-anchor="end">${label}</text>`,
    ].join("\n");
  });
  const middle = top + size / 2;
  return [
    ...ticks,
    `<text x="${left + size / 2}" y="${
      top + size + 40
    }" text-anchor="middle">false accepts (two eyes taken for one)</text>`,
    `<text x="18" y="${middle}" text-anchor="middle" transform="rotate(-90 18 ${middle})">false rejects (one eye taken for two)</text>`,
  ];
}

function drawn({ name, points }: DetCurve, index: number): string[] {
  const [colour, dash] = looks[index % looks.length]!;
  const path = points.map(({ falseAccepts, falseRejects }) =>
    `${(left + place(falseAccepts)).toFixed(1)},${(top + size - place(falseRejects)).toFixed(1)}`
  );
  const style = `fill="none" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash}"`;
  const y = top + size + 66 + 22 * index;
  return [
    `<polyline ${style} points="${[...new Set(path)].join(" ")}"/>`,
    `<line ${style} x1="${left}" x2="${left + 40}" y1="${y}" y2="${y}"/>`,
    `<text x="${left + 50}" y="${y + 4}">${name}</text>`,
  ];
}
