/**
 * The map's picture. Everything in it is in the tables beside it, too, so it is hidden from screen
 * readers; with the mouse, a service or an edge is chosen by a click.
 *
 * @module
 */
import { useMemo } from "preact/hooks";
import { formatDuration, formatPercent } from "../../service/page/format.ts";
import { serviceLook } from "../../service/page/service_look.ts";
import { setParams } from "../../service/page/url_state.ts";
import type { MapAnswer, MapEdge } from "../page_api/api.ts";
import { edgeKey, type PlacedNode, placeNodes, rateText } from "./map_layout.ts";

/** The drawing is so large, in units of its own; labels hang over its orbits. */
const size = 800;
const reach = 290;
/** Up to so many nodes all have their label; beyond it the busiest, the failing, the chosen. */
const allLabels = 12;
const someLabels = 24;
/** More edges than these: the quiet ones are left out, and counted. */
const maxEdges = 60;

/** See the module. */
export function MapPicture({ map, silent, node, edge }: {
  map: MapAnswer;
  /** Services that have fallen silent. */
  silent: ReadonlySet<string>;
  /** The chosen service. */
  node: string | undefined;
  /** The chosen edge. */
  edge: string | undefined;
}) {
  const { placed, rings } = useMemo(() => placeNodes(map.nodes, map.edges), [map]);
  const shown = map.edges.filter((one, i) => i < maxEdges || one.errors > 0 || touches(one));
  function touches(one: MapEdge): boolean {
    return edgeKey(one) === edge || one.from === node || one.to === node;
  }
  const labelled = new Set(
    map.nodes.toSorted((a, b) => b.errors - a.errors || b.calls - a.calls)
      .slice(0, map.nodes.length <= allLabels ? allLabels : someLabels)
      .map(({ name }) => name),
  );
  return (
    <div class="map-picture" aria-hidden="true">
      <svg viewBox={`${-size / 2} ${-size * 0.42} ${size} ${size * 0.84}`}>
        {rings.map((radius) => (
          <circle key={radius} class="map-orbit" cx="0" cy="0" r={radius * reach} />
        ))}
        {shown.map((one) => (
          <Edge
            key={edgeKey(one)}
            edge={one}
            from={placed.get(one.from)!}
            to={placed.get(one.to)!}
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
            labelled={labelled.has(one.node.name) || one.node.name === node ||
              silent.has(one.node.name)}
          />
        ))}
      </svg>
      {shown.length < map.edges.length && (
        <p class="quiet">+{map.edges.length - shown.length} quiet edges</p>
      )}
    </div>
  );
}

function Edge({ edge, from, to, chosen, dim }: {
  edge: MapEdge;
  from: PlacedNode;
  to: PlacedNode;
  chosen: boolean;
  dim: boolean;
}) {
  // A bend keeps there and back apart.
  const [x1, y1, x2, y2] = [from.x * reach, from.y * reach, to.x * reach, to.y * reach];
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const bend = Math.min(24, length / 8);
  const [mx, my] = [
    (x1 + x2) / 2 - (y2 - y1) / length * bend,
    (y1 + y2) / 2 + (x2 - x1) / length * bend,
  ];
  const path = `M${x1.toFixed(1)},${y1.toFixed(1)}Q${mx.toFixed(1)},${my.toFixed(1)} ${
    x2.toFixed(1)
  },${y2.toFixed(1)}`;
  const share = edge.calls === 0 ? 0 : edge.errors / edge.calls;
  const width = 1.5 + Math.min(6, Math.max(0, Math.log10(edge.rate * 60 + 1) * 1.5));
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
      <Arrow
        x={(mx + (x1 + x2) / 2) / 2}
        y={(my + (y1 + y2) / 2) / 2}
        angle={Math.atan2(y2 - y1, x2 - x1)}
      />
      {(chosen || length > 150) && (
        <text class="map-edge-text" x={(mx * 2 + (x1 + x2) / 2) / 3} y={my - 6}>
          {rateText(edge.rate)}
          {share > 0 && ` · ${formatPercent(share)}`}
        </text>
      )}
    </g>
  );
}

/** In the middle, where no node covers it: the curve runs half way between its chord and its bend. */
function Arrow({ x, y, angle }: { x: number; y: number; angle: number }) {
  const degrees = angle * 180 / Math.PI;
  return (
    <path
      class="map-arrow"
      d="M-5,-5L6,0L-5,5z"
      transform={`translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${degrees.toFixed(0)})`}
    />
  );
}

function Node({ placed: { node, x, y }, silent, chosen, labelled }: {
  placed: PlacedNode;
  silent: boolean;
  chosen: boolean;
  labelled: boolean;
}) {
  const radius = node.kind === "topic"
    ? 6
    : 9 + Math.min(12, Math.max(0, Math.log10(node.rate * 60 + 1) * 3));
  const [cx, cy] = [x * reach, y * reach];
  const color = node.kind === "topic" ? "map-topic" : `service-${serviceLook(node.name).color}`;
  const failing = node.errors > 0 ? " failing" : "";
  return (
    <g
      class={`map-node${silent ? " silent" : ""}${chosen ? " chosen" : ""}${failing}`}
      transform={`translate(${cx.toFixed(1)} ${cy.toFixed(1)})`}
      onClick={() => setParams({ node: chosen ? undefined : node.name, edge: undefined })}
    >
      <title>{node.name}</title>
      {node.kind === "topic"
        ? (
          <rect
            class={color}
            x={-radius}
            y={-radius}
            width={2 * radius}
            height={2 * radius}
            rx="2"
          />
        )
        : <circle class={color} r={radius} />}
      {silent && <path class="map-cross" d={`M${-radius},${-radius}L${radius},${radius}`} />}
      {labelled && <text class="map-label" y={radius + 15}>{node.name.replace(/^topic /, "")}
      </text>}
    </g>
  );
}
