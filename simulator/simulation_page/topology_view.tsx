/**
 * The topology at an instant: parts with their instances, boxes with what lies in them, the eight
 * switches, and messages as sprites above. Each part and box is a button that says in words what is
 * drawn of it.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { setParams } from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { type BoxItem, type BoxName, faultPoints } from "../simulation/engine.ts";
import { keyColor, type Keys } from "./message_key.ts";
import { FaultKnobs, FaultSwitch } from "./fault_controls.tsx";
import { type BoxPicture, instancesOf, isUnused, nodeWords, type Picture } from "./picture.ts";
import { part } from "./page_state.ts";
import {
  edges,
  nodes,
  type TopologyLayout,
  topologyLayout,
  type TopologyNode,
} from "./topology_layout.ts";
import { partWords } from "./words.ts";

/** Options of {@linkcode TopologyView}. */
export interface TopologyViewProps {
  picture: Picture;
  /** Whether faults can be set in it; not in a comparison. @default true */
  hasControls?: boolean;
  /** What flies above it, drawn in its measure. */
  children: (layout: TopologyLayout) => ComponentChildren;
}

/** See the module. */
export function TopologyView({ picture, hasControls = true, children }: TopologyViewProps) {
  const isNarrow = useMediaQuery("(max-width: 720px)");
  const layout = topologyLayout(isNarrow);
  const hasKnobs = hasControls && !isNarrow;
  return (
    <div class="topology">
      {hasKnobs && <Knobs layout={layout} row={0} />}
      <div class="topology-stage" style={{ aspectRatio: `${layout.width} / ${layout.height}` }}>
        <svg viewBox={`0 0 ${layout.width} ${layout.height}`} aria-hidden="true">
          <Frames layout={layout} />
          {edges.map(({ from, to }) => (
            <Edge key={`${from} ${to}`} layout={layout} from={from} to={to} />
          ))}
          {nodes.map((node) => (
            <Node key={node.name} layout={layout} node={node} picture={picture} />
          ))}
        </svg>
        {children(layout)}
        <NodeButtons layout={layout} picture={picture} />
        {hasControls && <Switches layout={layout} />}
      </div>
      {hasKnobs && <Knobs layout={layout} row={1} />}
    </div>
  );
}

function percent(value: number, of: number): string {
  return `${(value / of * 100).toFixed(3)}%`;
}

/** A button over each part and box: the list that says what the drawing says. */
function NodeButtons({ layout, picture }: { layout: TopologyLayout; picture: Picture }) {
  const { width, height, nodeWidth, nodeHeight } = layout;
  return (
    <ul class="topology-buttons" aria-label={`Where everything is in ${picture.label}`}>
      {nodes.map((node) => {
        const { x, y } = layout.place(node.name);
        const words = nodeWords(node, picture);
        return (
          <li key={node.name}>
            <button
              type="button"
              aria-label={words}
              aria-pressed={part.value === node.name}
              title={words}
              style={{
                left: percent(x - nodeWidth / 2, width),
                top: percent(y - nodeHeight / 2, height),
                width: percent(nodeWidth, width),
                height: percent(nodeHeight, height),
              }}
              onClick={() =>
                setParams({
                  part: part.peek() === node.name ? undefined : node.name,
                  message: undefined,
                })}
            />
          </li>
        );
      })}
    </ul>
  );
}

function Switches({ layout }: { layout: TopologyLayout }) {
  return (
    <>
      {faultPoints.map((point) => {
        const { x, y } = layout.pointPlace(point);
        return (
          <div
            key={point}
            class="fault-place"
            style={{ left: percent(x, layout.width), top: percent(y, layout.height) }}
          >
            <FaultSwitch point={point} />
          </div>
        );
      })}
    </>
  );
}

/** Sliders above the way there and below the way back, each at its switch. */
function Knobs({ layout, row }: { layout: TopologyLayout; row: 0 | 1 }) {
  const points = row === 0 ? [1, 2, 3, 4, 5] as const : [8, 7, 6] as const;
  return (
    <div class="knobs">
      {points.map((point) => (
        <div
          key={point}
          class="knobs-place"
          style={{ left: `${(layout.pointPlace(point).x / layout.width * 100).toFixed(3)}%` }}
        >
          <FaultKnobs point={point} />
        </div>
      ))}
    </div>
  );
}

/** The two backends. */
function Frames({ layout }: { layout: TopologyLayout }) {
  const { nodeWidth, nodeHeight } = layout;
  const frame = (from: TopologyNode["name"], to: TopologyNode["name"], label: string) => {
    const [a, b] = [layout.place(from), layout.place(to)];
    const x = Math.min(a.x, b.x) - nodeWidth / 2 - 7;
    const y = Math.min(a.y, b.y) - nodeHeight / 2 - 7;
    const width = Math.abs(a.x - b.x) + nodeWidth + 14;
    const height = Math.abs(a.y - b.y) + nodeHeight + 14;
    return (
      <g key={label}>
        <rect class="frame" x={x} y={y} width={width} height={height} rx="10" />
        {!layout.isNarrow && (
          <text class="frame-label" x={x + width / 2} y={y + height / 2 + 4}>{label}</text>
        )}
      </g>
    );
  };
  return (
    <>
      {frame("backend-1", "lambda-1", "Backend 1")}
      {frame("lambda-2", "outbox-2", "Backend 2")}
    </>
  );
}

function Edge(
  { layout, from, to }: {
    layout: TopologyLayout;
    from: TopologyNode["name"];
    to: TopologyNode["name"];
  },
) {
  const [a, b] = [layout.place(from), layout.place(to)];
  const [dx, dy] = [Math.sign(b.x - a.x), Math.sign(b.y - a.y)];
  const isSideways = Math.abs(b.x - a.x) > Math.abs(b.y - a.y);
  const reach = isSideways ? layout.nodeWidth / 2 : layout.nodeHeight / 2;
  const [x1, y1] = isSideways ? [a.x + dx * reach, a.y] : [a.x, a.y + dy * reach];
  const [x2, y2] = isSideways ? [b.x - dx * (reach + 6), b.y] : [b.x, b.y - dy * (reach + 6)];
  const head = isSideways
    ? `M${x2},${y2 - 4}l${dx * 6},4l${-dx * 6},4z`
    : `M${x2 - 4},${y2}l4,${dy * 6}l4,${-dy * 6}z`;
  return (
    <g class="edge">
      <line x1={x1} y1={y1} x2={x2} y2={y2} />
      <path d={head} />
    </g>
  );
}

interface NodeProps {
  layout: TopologyLayout;
  node: TopologyNode;
  picture: Picture;
}

function Node({ layout, node, picture }: NodeProps) {
  const { x, y } = layout.place(node.name);
  const { nodeWidth, nodeHeight } = layout;
  const instances = instancesOf(node, picture);
  const isAbsent = isUnused(node, picture);
  const isDown = instances.length > 0 && instances.every(({ state }) => state !== "up");
  const box = node.kind === "box" ? picture.boxes[node.name as BoxName] : undefined;
  const classes = ["node", `node-${node.kind}`];
  if (isDown) classes.push("node-down");
  if (isAbsent) classes.push("node-absent");
  if (part.value === node.name) classes.push("node-selected");
  return (
    <g
      class={classes.join(" ")}
      transform={`translate(${x - nodeWidth / 2},${y - nodeHeight / 2})`}
    >
      <rect width={nodeWidth} height={nodeHeight} rx={node.kind === "box" ? 3 : 10} />
      <text class="node-title" x={nodeWidth / 2} y="16">
        {node.title}
      </text>
      {isAbsent
        ? <text class="node-empty" x={nodeWidth / 2} y={nodeHeight - 18}>not used</text>
        : box !== undefined
        ? <BoxContent layout={layout} box={box} keys={picture.keys} />
        : node.kind === "end" || node.name === "frontend"
        ? (
          <text class="node-figure" x={nodeWidth / 2} y={nodeHeight - 14}>
            {node.kind === "end" ? picture.confirmed : picture.placed}
          </text>
        )
        : <PartContent layout={layout} node={node} picture={picture} />}
    </g>
  );
}

/** As many messages are drawn in a box. */
function dotsOf({ isNarrow }: TopologyLayout): number {
  return isNarrow ? 6 : 8;
}

/** Messages in a box, by key and state; where they are not known, how many there are. */
function BoxContent(
  { layout, box, keys }: { layout: TopologyLayout; box: BoxPicture; keys: Keys },
) {
  const { isNarrow, nodeWidth, nodeHeight } = layout;
  const perRow = isNarrow ? 6 : 4;
  const room = dotsOf(layout);
  // What there is no room for is a number in the last place.
  const shown = box.count > room ? room - 1 : box.count;
  const placeOf = (index: number) => ({
    x: (isNarrow ? 13 : 12) + index % perRow * (isNarrow ? 18 : 20.5),
    y: (isNarrow ? 34 : 32) + Math.floor(index / perRow) * 19,
  });
  if (box.count === 0) {
    return <text class="node-empty" x={nodeWidth / 2} y={nodeHeight - 18}>empty</text>;
  }
  if (box.items.length === 0) {
    return (
      <>
        <text class="node-figure" x={nodeWidth / 2} y={nodeHeight - (box.parked > 0 ? 19 : 14)}>
          {box.count}
        </text>
        {box.parked > 0 && (
          <text class="node-parked" x={nodeWidth / 2} y={nodeHeight - 6}>{box.parked} parked</text>
        )}
      </>
    );
  }
  return (
    <>
      {box.items.slice(0, shown).map((item, index) => (
        <BoxDot
          key={`${item.message} ${item.consumer}`}
          item={item}
          {...placeOf(index)}
          keys={keys}
        />
      ))}
      {box.count > shown && (
        <text class="dot-rest" x={placeOf(shown).x} y={placeOf(shown).y + 3.5}>
          +{box.count - shown}
        </text>
      )}
    </>
  );
}

function BoxDot({ item, x, y, keys }: { item: BoxItem; x: number; y: number; keys: Keys }) {
  const color = `dot service-${keyColor(item.message, keys)}`;
  const isResult = item.message.startsWith("r");
  const shape = isResult
    ? <path class={color} d={`M${x},${y - 10}l10,10l-10,10l-10,-10z`} />
    : <circle class={color} cx={x} cy={y} r="8.5" />;
  return (
    <g>
      {shape}
      {item.state === "claimed" && <circle class="dot-claimed" cx={x} cy={y} r="8.5" />}
      <text class="dot-name" x={x} y={y + 3}>{item.message.slice(1)}</text>
      {item.state === "parked" && (
        <path
          class="dot-parked"
          d={`M${x - 4},${y - 4}l8,8m0,-8l-8,8`}
        />
      )}
    </g>
  );
}

function PartContent({ layout, node, picture }: NodeProps) {
  const { nodeWidth, nodeHeight, isNarrow } = layout;
  const instances = instancesOf(node, picture);
  const left = nodeWidth / 2 - (instances.length - 1) * 11;
  return (
    <>
      {instances.map(({ name, state }, index) => (
        <g
          key={name}
          class={`instance instance-${state}`}
          transform={`translate(${left + index * 22},${nodeHeight - (isNarrow ? 14 : 22)})`}
        >
          <circle r="8" />
          {state === "up"
            ? <text y="3.5">{partWords(name).slice(-1)}</text>
            : state === "down"
            ? <path d="M-4,-4l8,8m0,-8l-8,8" />
            : <path d="M-2.500,-4v8M2.500,-4v8" />}
        </g>
      ))}
    </>
  );
}
