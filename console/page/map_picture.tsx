/**
 * The map's picture. Everything in it is in the tables beside it, too, so it is hidden from screen
 * readers; with the mouse, a service or an edge is chosen by a click.
 *
 * @module
 */
import { useMemo } from "preact/hooks";
import { formatDuration, formatPercent } from "../../service/page/format.ts";
import { serviceLook } from "../../service/page/service_look.ts";
import { shapePaths } from "../../service/page/service_mark.tsx";
import { setParams } from "../../service/page/url_state.ts";
import type { MapAnswer, MapEdge, MapNode } from "../page_api/api.ts";
import { type Curve, curveBetween, headingOf, pathOf, pointOn } from "./map_curves.ts";
import { placeWords, type Word, type WordPlace } from "./map_labels.ts";
import { edgeKey, type PlacedNode, placeNodes, rateText } from "./map_layout.ts";

/** Half the drawing, in units of its own; words hang over its orbits. */
const half = { x: 400, y: 336 };
const reach = 290;
/** Up to so many nodes all have their label; beyond it the busiest, the failing, the chosen. */
const allLabels = 16;
const someLabels = 24;
/** More edges than these: the quiet ones are left out, and counted. */
const maxEdges = 60;
/** On more edges than these nothing runs: it would be a flicker. */
const maxRunning = 40;

/** Options of {@linkcode MapPicture}. */
export interface MapPictureProps {
  map: MapAnswer;
  /** Services that have fallen silent. */
  silent: ReadonlySet<string>;
  /** The chosen service. */
  node: string | undefined;
  /** The chosen edge. */
  edge: string | undefined;
  /** The picture is small: only the chosen, the silent and the failing have words. @default false */
  small?: boolean;
}

/** See the module. */
export function MapPicture(props: MapPictureProps) {
  const { map, silent, node, edge } = props;
  const { placed, rings } = useMemo(() => placeNodes(map.nodes, map.edges), [map]);
  const scale = scaleOf(map.nodes.length);
  const touches = (one: MapEdge) => edgeKey(one) === edge || one.from === node || one.to === node;
  const shown = map.edges
    .filter((one, i) => i < maxEdges || one.errors > 0 || touches(one))
    .map((one) => ({
      edge: one,
      curve: curveOf(placed.get(one.from)!, placed.get(one.to)!, scale),
    }));
  const words = useMemo(
    () => placeWords(wordsOf(props, placed, shown), obstaclesOf(placed, shown, scale)),
    [map, silent, node, edge, props.small],
  );
  return (
    <div class={props.small ? "map-picture small" : "map-picture"} aria-hidden="true">
      <svg viewBox={`${-half.x} ${-half.y} ${half.x * 2} ${half.y * 2}`}>
        {rings.map((radius) => (
          <circle key={radius} class="map-orbit" cx="0" cy="0" r={radius * reach} />
        ))}
        {![...placed.values()].some(({ x, y }) => x === 0 && y === 0) && <Sun />}
        {shown.map(({ edge: one, curve }) => (
          <Edge
            key={edgeKey(one)}
            edge={one}
            curve={curve}
            scale={scale}
            running={shown.length <= maxRunning}
            chosen={edgeKey(one) === edge}
            dim={(node !== undefined || edge !== undefined) && !touches(one)}
          />
        ))}
        {[...placed.values()].map((one) => (
          <Node
            key={one.node.name}
            placed={one}
            silent={silent.has(one.node.name)}
            chosen={one.node.name === node}
            scale={scale}
          />
        ))}
        {shown.map(({ edge: one }) => (
          <Text key={edgeKey(one)} class="map-edge-text" at={words.get(edgeKey(one))}>
            {edgeText(one)}
          </Text>
        ))}
        {map.nodes.map((one) => (
          <Text key={one.name} class="map-label" at={words.get(one.name)}>{labelOf(one)}</Text>
        ))}
      </svg>
      {shown.length < map.edges.length && (
        <p class="quiet">+{map.edges.length - shown.length} quiet edges</p>
      )}
    </div>
  );
}

/** A word, above all shapes; nothing where it has no place. */
function Text({ at, class: name, children }: {
  at: WordPlace | undefined;
  class: string;
  children: string;
}) {
  if (at === undefined) return null;
  return <text class={name} x={at.x} y={at.y} text-anchor={at.anchor}>{children}</text>;
}

/** What all turns about, where no service stands in the middle. */
function Sun() {
  return (
    <>
      <circle class="map-glow" r="26" />
      <circle class="map-sun" r="8" />
    </>
  );
}

interface ShownEdge {
  edge: MapEdge;
  curve: Curve;
}

const labelSize = 13;
const rateSize = 11;

/** What is written, the most important first. */
function wordsOf(
  { map, silent, node, edge, small = false }: MapPictureProps,
  placed: ReadonlyMap<string, PlacedNode>,
  shown: readonly ShownEdge[],
): Word[] {
  const isUrgent = ({ name, errors }: MapNode) =>
    name === node || (silent.size <= allLabels && silent.has(name)) || (errors > 0 && !small);
  const byWeight = map.nodes.toSorted((a, b) =>
    Number(isUrgent(b)) - Number(isUrgent(a)) || b.calls - a.calls
  );
  const count = small ? 0 : map.nodes.length <= allLabels ? allLabels : someLabels;
  const labels = byWeight.filter((one, i) => i < count || isUrgent(one)).map((one): Word => ({
    key: one.name,
    text: labelOf(one),
    fontSize: small ? labelSize * 2 : labelSize,
    at: centreOf(placed.get(one.name)!),
    distance: radiusOf(one, scaleOf(map.nodes.length)) + 3,
    optional: map.nodes.length > allLabels && !isUrgent(one),
  }));
  if (small) return labels;
  const rates = shown.filter((one) => edgeKey(one.edge) === edge || shown.length <= allLabels)
    .map((one): Word => ({
      key: edgeKey(one.edge),
      text: edgeText(one.edge),
      fontSize: rateSize,
      at: pointOn(one.curve, 0.5),
      distance: 7,
      optional: edgeKey(one.edge) !== edge,
    }));
  return [...labels, ...rates];
}

function obstaclesOf(
  placed: ReadonlyMap<string, PlacedNode>,
  shown: readonly ShownEdge[],
  scale: number,
) {
  return {
    half,
    nodes: [...placed.values()].map((one) => ({
      ...centreOf(one),
      radius: radiusOf(one.node, scale),
    })),
    linePoints: shown.flatMap(({ curve }) =>
      [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9].map((share) => pointOn(curve, share))
    ),
  };
}

function curveOf(from: PlacedNode, to: PlacedNode, scale: number): Curve {
  return curveBetween(centreOf(from), centreOf(to), {
    fromRadius: radiusOf(from.node, scale) + 2,
    toRadius: radiusOf(to.node, scale) + 4,
  });
}

function centreOf({ x, y }: PlacedNode) {
  return { x: x * reach, y: y * reach };
}

/** Many nodes are small ones, so that a ring has room for all. */
function scaleOf(nodes: number): number {
  return Math.max(0.4, Math.min(1, Math.sqrt(20 / nodes)));
}

function radiusOf({ kind, rate }: MapNode, scale: number): number {
  if (kind === "topic") return 6 * scale;
  return scale * (10 + Math.min(12, Math.max(0, Math.log10(rate * 60 + 1) * 3)));
}

function labelOf({ name }: MapNode): string {
  return name.replace(/^topic /, "");
}

function errorShare({ calls, errors }: MapEdge): number {
  return calls === 0 ? 0 : errors / calls;
}

function edgeText(edge: MapEdge): string {
  const share = errorShare(edge);
  return `${rateText(edge.rate)}${share > 0 ? ` · ${formatPercent(share)}` : ""}`;
}

function Edge({ edge, curve, scale, running, chosen, dim }: {
  edge: MapEdge;
  curve: Curve;
  /** By how much all is smaller where there is much. */
  scale: number;
  /** Something runs along it. */
  running: boolean;
  chosen: boolean;
  dim: boolean;
}) {
  const path = pathOf(curve);
  const share = errorShare(edge);
  const width = scale * (1.5 + Math.min(6, Math.max(0, Math.log10(edge.rate * 60 + 1) * 1.5)));
  const text = `${edge.from} → ${edge.to}: ${rateText(edge.rate)}, ${
    formatPercent(share)
  } errors, p95 ${formatDuration(edge.p95Ms)}`;
  return (
    <g
      class={`map-edge${chosen ? " chosen" : ""}${dim ? " dim" : ""}`}
      onClick={() => setParams({ edge: chosen ? undefined : edgeKey(edge), node: undefined })}
    >
      <title>{text}</title>
      <path class="map-edge-reach" d={path} />
      <path class="map-edge-line" d={path} style={{ strokeWidth: `${width}px` }} />
      {share > 0 && (
        <path
          class="map-edge-errors"
          d={path}
          pathLength={100}
          style={{
            strokeWidth: `${width}px`,
            strokeDasharray: `${Math.max(2, share * 10)} ${10 - Math.min(8, share * 10)}`,
          }}
        />
      )}
      {running && <Running path={path} rate={edge.rate} width={width} />}
      <Arrow curve={curve} scale={scale} />
    </g>
  );
}

/** One crossing of an edge takes so long, in seconds, whatever its length. */
const crossingS = 3;

/** Dots on their way, the more the busier the edge. Still where little motion is wanted. */
function Running({ path, rate, width }: { path: string; rate: number; width: number }) {
  const dots = Math.min(6, Math.max(1, Math.round(1 + Math.log10(rate * 6 + 1) * 2)));
  return (
    <path
      class="map-running"
      d={path}
      pathLength={100}
      style={{
        strokeWidth: `${width + 2.5}px`,
        strokeDasharray: `0 ${100 / dots}`,
        "--map-step": `${100 / dots}`,
        animationDuration: `${crossingS / dots}s`,
      }}
    />
  );
}

/** At the end, where it says whom is called. */
function Arrow({ curve, scale }: { curve: Curve; scale: number }) {
  const { x, y } = pointOn(curve, 0.55);
  return (
    <path
      class="map-arrow"
      d="M-5,-4.500L6,0L-5,4.500z"
      transform={`translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${
        headingOf(curve).toFixed(0)
      }) scale(${scale.toFixed(2)})`}
    />
  );
}

function Node({ placed, silent, chosen, scale: size }: {
  placed: PlacedNode;
  silent: boolean;
  chosen: boolean;
  /** By how much all is smaller where there is much. */
  scale: number;
}) {
  const { node } = placed;
  const radius = radiusOf(node, size);
  const { x, y } = centreOf(placed);
  const { color, shape } = serviceLook(node.name);
  const scale = (radius / 4.5).toFixed(2);
  const cross = (radius * 0.7).toFixed(1);
  return (
    <g
      class={`map-node${silent ? " silent" : ""}${chosen ? " chosen" : ""}${
        node.errors > 0 ? " failing" : ""
      }`}
      onClick={() => setParams({ node: chosen ? undefined : node.name, edge: undefined })}
    >
      <title>{node.name}</title>
      <g transform={`translate(${x.toFixed(1)} ${y.toFixed(1)})`}>
        <circle class="map-node-reach" r={radius + 6} />
        {node.kind === "topic"
          ? (
            <rect
              class="map-shape map-topic"
              x={-radius}
              y={-radius}
              width={2 * radius}
              height={2 * radius}
              rx={radius * 0.6}
            />
          )
          : (
            <path
              class={`map-shape service-${color}`}
              d={shapePaths[shape]}
              transform={`scale(${scale}) translate(-6 -6)`}
            />
          )}
        {silent && (
          <path
            class="map-cross"
            d={`M-${cross},-${cross}L${cross},${cross}M-${cross},${cross}L${cross},-${cross}`}
          />
        )}
      </g>
    </g>
  );
}
