/**
 * The topology of a run at an instant: parts with their instances, boxes with what lies in them, the
 * eight switches, and messages as sprites above. Each part and box is a button that says in words what
 * is drawn of it.
 *
 * @module
 */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { formatCounted } from "../../service/page/format.ts";
import { setParams } from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { readColors, type StageColors } from "../page/stage_painter.ts";
import { type BoxItem, type BoxName, faultPoints, type Snapshot } from "../simulation/engine.ts";
import { FaultKnobs, FaultSwitch } from "./fault_controls.tsx";
import { isStill } from "./play.ts";
import type { RunView } from "./protocol.ts";
import { drawStill, Sprites } from "./sprites.ts";
import { type Branch, part, placeAt } from "./store.ts";
import {
  edges,
  nodeOfPart,
  nodes,
  type TopologyLayout,
  topologyLayout,
  type TopologyNode,
} from "./topology_layout.ts";
import { partWords } from "./words.ts";

/** Options of {@linkcode TopologyView}. */
export interface TopologyViewProps {
  run: Branch;
  view: RunView | undefined;
  /** The position: so many events have run. */
  event: number;
  /** The entry that is looked at. @default the last one up to the position */
  place?: number;
  /** Whether faults can be set in it; not in a comparison. @default true */
  hasControls?: boolean;
}

/** See the module. */
export function TopologyView(props: TopologyViewProps) {
  const { run, view, event, hasControls = true } = props;
  const place = props.place ?? placeAt(run.info.entries, event);
  const isNarrow = useMediaQuery("(max-width: 720px)");
  const layout = topologyLayout(isNarrow);
  const keys = run.info.options.keys;
  const box = useRef<HTMLDivElement>(null);
  const percent = (value: number, of: number) => `${(value / of * 100).toFixed(3)}%`;
  return (
    <div
      ref={box}
      class={hasControls && !isNarrow ? "topology topology-controls" : "topology"}
    >
      {hasControls && !isNarrow && <Knobs layout={layout} row={0} />}
      <div class="topology-stage" style={{ aspectRatio: `${layout.width} / ${layout.height}` }}>
        <svg viewBox={`0 0 ${layout.width} ${layout.height}`} aria-hidden="true">
          <Frames layout={layout} />
          {edges.map(({ from, to }) => (
            <Edge key={`${from} ${to}`} layout={layout} from={from} to={to} />
          ))}
          {nodes.map((node) => (
            <Node
              key={node.name}
              layout={layout}
              node={node}
              run={run}
              view={view}
              keys={keys}
            />
          ))}
        </svg>
        <SpriteCanvas layout={layout} run={run} place={place} keys={keys} />
        <ul class="topology-buttons" aria-label={`Where everything is in run ${run.letter}`}>
          {nodes.map((node) => {
            const { x, y } = layout.place(node.name);
            const words = nodeWords(node, run, view);
            return (
              <li key={node.name}>
                <button
                  type="button"
                  aria-label={words}
                  aria-pressed={part.value === node.name}
                  title={words}
                  style={{
                    left: percent(x - layout.nodeWidth / 2, layout.width),
                    top: percent(y - layout.nodeHeight / 2, layout.height),
                    width: percent(layout.nodeWidth, layout.width),
                    height: percent(layout.nodeHeight, layout.height),
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
        {hasControls && faultPoints.map((point) => {
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
      </div>
      {hasControls && !isNarrow && <Knobs layout={layout} row={1} />}
    </div>
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
  run: Branch;
  view: RunView | undefined;
  keys: number;
}

function Node({ layout, node, run, view, keys }: NodeProps) {
  const { x, y } = layout.place(node.name);
  const { nodeWidth, nodeHeight } = layout;
  const instances = instancesOf(node, view?.snapshot);
  const isAbsent = isUnused(node, run);
  const isDown = instances.length > 0 && instances.every(({ state }) => state !== "up");
  const held = node.kind === "box" ? view?.snapshot.boxes[node.name as BoxName].length ?? 0 : 0;
  const more = held > (layout.isNarrow ? 6 : 8) ? held : 0;
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
        {more > 0 && ` (${more})`}
      </text>
      {node.kind === "box" && !isAbsent && (
        <BoxContent
          layout={layout}
          items={view?.snapshot.boxes[node.name as BoxName] ?? []}
          keys={keys}
        />
      )}
      {isAbsent && <text class="node-empty" x={nodeWidth / 2} y={nodeHeight - 18}>not used</text>}
      {node.kind === "part" && !isAbsent && (
        <PartContent layout={layout} node={node} run={run} view={view} />
      )}
      {node.kind === "end" && (
        <text class="node-figure" x={nodeWidth / 2} y={nodeHeight - 14}>
          {doneOf(view)} of {run.info.options.orders}
        </text>
      )}
    </g>
  );
}

/** Messages in a box, by key and state; and how many. */
function BoxContent(
  { layout, items, keys }: { layout: TopologyLayout; items: readonly BoxItem[]; keys: number },
) {
  const [perRow, rows] = layout.isNarrow ? [6, 1] : [4, 2];
  const shown = items.slice(0, rows * perRow);
  return (
    <>
      {shown.map((item, index) => (
        <BoxDot
          key={`${item.message} ${item.consumer}`}
          item={item}
          x={(layout.isNarrow ? 13 : 12) + index % perRow * (layout.isNarrow ? 18 : 20.5)}
          y={(layout.isNarrow ? 34 : 32) + Math.floor(index / perRow) * 19}
          keys={keys}
        />
      ))}
      {items.length === 0 && (
        <text class="node-empty" x={layout.nodeWidth / 2} y={layout.nodeHeight - 18}>empty</text>
      )}
    </>
  );
}

function BoxDot({ item, x, y, keys }: { item: BoxItem; x: number; y: number; keys: number }) {
  const color = `dot service-${keyNumber(item.message, keys)}`;
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

function PartContent(
  { layout, node, run, view }: Omit<NodeProps, "keys">,
) {
  const { nodeWidth, nodeHeight } = layout;
  if (node.name === "frontend") {
    return (
      <text class="node-figure" x={nodeWidth / 2} y={nodeHeight - 14}>
        {view?.snapshot.counters.placed ?? 0} of {run.info.options.orders}
      </text>
    );
  }
  const instances = instancesOf(node, view?.snapshot);
  const left = nodeWidth / 2 - (instances.length - 1) * 11;
  return (
    <>
      {instances.map(({ name, state }, index) => (
        <g
          key={name}
          class={`instance instance-${state}`}
          transform={`translate(${left + index * 22},${nodeHeight - (layout.isNarrow ? 14 : 22)})`}
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

/** Whether a part or a box has no use in the pattern of a run. */
function isUnused({ name }: TopologyNode, { info: { options } }: Branch): boolean {
  return options.pattern !== "outbox" && /^(outbox|relay)/.test(name);
}

/** The instances of a part. */
export function instancesOf(node: Pick<TopologyNode, "name">, snapshot: Snapshot | undefined) {
  return snapshot?.parts.filter(({ name }) => nodeOfPart(name) === node.name) ?? [];
}

function doneOf(view: RunView | undefined): number {
  return view?.orders.filter(({ state }) => state === "done").length ?? 0;
}

/** The colour of a message's key, of the seven that there are. */
export function keyNumber(message: string, keys: number): number {
  return Number(message.slice(1)) % keys % 7;
}

/** What is drawn of a node, in words. */
export function nodeWords(node: TopologyNode, run: Branch, view: RunView | undefined): string {
  if (isUnused(node, run)) return `${node.title}: not used by this pattern`;
  if (node.kind === "end") return `Confirmed: ${doneOf(view)} of ${run.info.options.orders} orders`;
  if (node.kind === "box") {
    const items = view?.snapshot.boxes[node.name as BoxName] ?? [];
    const parked = items.filter(({ state }) => state === "parked").length;
    const names = items.slice(0, 5).map(({ message, consumer }) =>
      consumer === undefined ? message : `${message} for ${consumer}`
    ).join(", ");
    return `${node.title}: ${
      items.length === 0
        ? "empty"
        : `${formatCounted(items.length, "message")}: ${names}${
          items.length > 5 ? " and more" : ""
        }`
    }${parked > 0 ? `; ${parked} parked` : ""}`;
  }
  if (node.name === "frontend") {
    return `Frontend: ${
      view?.snapshot.counters.placed ?? 0
    } of ${run.info.options.orders} orders placed`;
  }
  const instances = instancesOf(node, view?.snapshot);
  const words = instances.map(({ name, state }) => `${partWords(name).slice(-1)} ${state}`);
  return `${node.title}: ${words.join(", ")}`;
}

/** The canvas with what flies. */
function SpriteCanvas(
  { layout, run, place, keys }: {
    layout: TopologyLayout;
    run: Branch;
    place: number;
    keys: number;
  },
) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const state = useRef({ sprites: new Sprites(), place, run, frame: 0 });
  const still = isStill.value;
  useEffect(() => {
    const now = state.current;
    const { entries } = run.info;
    const [from, to] = [now.place, place];
    if (now.run !== run || to < from || to - from > 600) now.sprites.clear();
    else if (!still && to > from) {
      now.sprites.add(entries.slice(from + 1, to + 1), performance.now());
    }
    now.run = run;
    now.place = place;
    const entry = entries[to];
    const paint = () => {
      now.frame = 0;
      const drawn = canvas.current;
      if (drawn === null) return;
      const context = prepared(drawn, layout);
      const colors = colorsOf(drawn.parentElement!);
      const colorOf = (message: string) => colors.services[keyNumber(message, keys)]!;
      if (still) {
        if (entry !== undefined) drawStill(context, layout, colors, entry, colorOf);
        return;
      }
      if (now.sprites.draw(context, layout, colors, performance.now(), colorOf)) {
        now.frame ||= requestAnimationFrame(paint);
      }
    };
    if (still) now.sprites.clear();
    now.frame ||= requestAnimationFrame(paint);
  }, [place, run, layout.isNarrow, still]);
  useLayoutEffect(() => () => cancelAnimationFrame(state.current.frame), []);
  return <canvas ref={canvas} class="sprites" aria-hidden="true" />;
}

let known: { theme: string; colors: StageColors } | undefined;

/** The colours in force, read again when the theme has changed: reading them costs a frame. */
function colorsOf(element: Element): StageColors {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = `${document.documentElement.dataset["theme"]} ${isDark}`;
  if (known?.theme !== theme) known = { theme, colors: readColors(element) };
  return known.colors;
}

/** A context in the measure of the layout, empty. */
function prepared(canvas: HTMLCanvasElement, layout: TopologyLayout): CanvasRenderingContext2D {
  const ratio = devicePixelRatio;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d")!;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.scale(width / layout.width, height / layout.height);
  return context;
}
