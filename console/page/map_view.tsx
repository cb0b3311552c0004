/**
 * The map of services: who calls whom, how often, how well, how fast. The picture has a twin, two
 * tables that say the same (`t`).
 *
 * @module
 */
import { useEffect, useMemo, useState } from "preact/hooks";
import { CommandLine } from "../../service/page/copy.tsx";
import { formatCounted, formatDuration, formatPercent } from "../../service/page/format.ts";
import { useShortcuts } from "../../service/page/keys.ts";
import { reachable } from "../../service/page/program_switch.tsx";
import { ServiceMark } from "../../service/page/service_mark.tsx";
import { Empty, Failure, Loading } from "../../service/page/states.tsx";
import { address, href, setParams } from "../../service/page/url_state.ts";
import { useAnswer } from "../../service/page/use_answer.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { apiPaths, type MapAnswer, type MapEdge, type MapNode } from "../page_api/api.ts";
import { condition } from "../queries/search_language.ts";
import { edgeKey, rateText } from "./map_layout.ts";
import { MapPicture } from "./map_picture.tsx";
import { epoch } from "./store.ts";
import { paused } from "./views.ts";

/** A program that has said nothing for so long has probably gone, in milliseconds: three exports and some. */
const silentAfterMs = 35_000;

/** A demo's program that has died is started again after a second or so: who looks sees that it was gone. */
const refreshMs = 1_000;

/** See the module. */
export function MapView() {
  const { answer, error, reload } = useAnswer<MapAnswer>(
    `${apiPaths.map}?lookback=10m&epoch=${epoch.value}`,
    { refreshMs: paused.value ? undefined : refreshMs },
  );
  const { params } = address.value;
  const forced = useMediaQuery("(forced-colors: active)");
  const narrow = useMediaQuery("(max-width: 720px)");
  const asTables = params.has("tables") ? params.get("tables") !== "0" : forced;
  // What is so by itself is not said in the address.
  const showTables = (wanted: boolean) =>
    setParams({ tables: wanted === forced ? undefined : wanted ? true : "0" });
  useShortcuts([
    { key: "t", label: "Picture or tables", run: () => showTables(!asTables) },
    {
      key: "Escape",
      label: "Choose nothing",
      run: () => setParams({ node: undefined, edge: undefined }),
    },
  ]);
  if (answer === undefined) {
    return error === undefined
      ? <Loading what="the map" rows={8} />
      : <Failure title="The map cannot be shown" detail={error.message} onRetry={reload} />;
  }
  if (answer.nodes.length === 0) return <NoMap />;
  return (
    <section class="map-view" aria-labelledby="map-title">
      <h1 id="map-title" class="hidden-text">Map</h1>
      <MapHead map={answer} asTables={asTables} onTables={showTables} />
      <div class="map-split">
        {asTables ? <Tables map={answer} /> : <Picture map={answer} small={narrow} />}
        <Chosen map={answer} />
        {narrow && !asTables && <Tables map={answer} />}
      </div>
    </section>
  );
}

function NoMap() {
  return (
    <Empty title="No service has sent a span yet">
      <p>Each one appears here, with whom it calls. Start the whole model:</p>
      <CommandLine text="deno task demo" />
    </Empty>
  );
}

/** Whether a program has ended, or, where that is not known, has fallen silent. */
export function isSilent({ lastSeenMs, program }: MapNode, nowMs: number): boolean {
  if (program !== undefined) return program.state === "down";
  return lastSeenMs !== null && nowMs - lastSeenMs > silentAfterMs;
}

/** A program that was started again is told of for so long, in milliseconds: its end is what one comes to see. */
const restartToldMs = 600_000;

/** Whether a program has ended not long ago, and is up again. */
function isRestarted({ program }: MapNode, nowMs: number): boolean {
  return program?.state === "up" && program.ended !== undefined &&
    nowMs - program.sinceMs < restartToldMs;
}

function restartOf({ name, program }: MapNode, nowMs: number): string {
  const ago = formatDuration(seconds(nowMs - program!.sinceMs));
  return `${name} ended (${program!.ended}), started again ${ago} ago`;
}

/** So many are named in the sentence, the last to fall silent first. */
const maxNamedSilent = 3;

function silentSinceMs({ lastSeenMs, program }: MapNode): number {
  return program?.sinceMs ?? lastSeenMs ?? 0;
}

/** Since when, in words. */
function silenceOf({ name, lastSeenMs, program }: MapNode, nowMs: number): string {
  return program === undefined
    ? `${name} is silent for ${formatDuration(seconds(nowMs - lastSeenMs!))}`
    : `${name} died ${formatDuration(seconds(nowMs - program.sinceMs))} ago${
      program.ended === undefined ? "" : ` (${program.ended})`
    }`;
}

function MapHead({ map, asTables, onTables }: {
  map: MapAnswer;
  asTables: boolean;
  onTables: (wanted: boolean) => void;
}) {
  const nowMs = Date.now();
  const services = map.nodes.filter(({ kind }) => kind === "service");
  const silent = services.filter((node) => isSilent(node, nowMs))
    .sort((a, b) => silentSinceMs(b) - silentSinceMs(a));
  const restarted = services.filter((node) => isRestarted(node, nowMs))
    .sort((a, b) => silentSinceMs(b) - silentSinceMs(a));
  const failing = services.filter(({ errors }) => errors > 0);
  return (
    <div class="toolbar">
      <p class="map-sentence">
        <b>
          {services.some(({ program }) => program)
            ? formatCounted(services.length - silent.length, "program runs", "programs run")
            : formatCounted(services.length - silent.length, "service speaks", "services speak")}
        </b>
        {silent.slice(0, maxNamedSilent).map((node) => (
          <span key={node.name} class="error-text">
            {silenceOf(node, nowMs)}
            <LastTrace of={node} />
          </span>
        ))}
        {silent.length > maxNamedSilent && (
          <span class="error-text">
            {formatCounted(silent.length - maxNamedSilent, "more is silent", "more are silent")}
          </span>
        )}
        {restarted.slice(0, maxNamedSilent).map((node) => (
          <span key={node.name}>
            {restartOf(node, nowMs)}
            <LastTrace of={node} />
          </span>
        ))}
        {failing.length > 0 && <span>{formatCounted(failing.length, "service")} with errors</span>}
        {map.nodesInAll > map.nodes.length && (
          <span class="quiet">the busiest {map.nodes.length} of {map.nodesInAll}</span>
        )}
        <span class="quiet">over the last {formatDuration(seconds(map.seconds * 1e3))}</span>
      </p>
      <label class="check">
        <input
          type="checkbox"
          checked={asTables}
          onChange={(event) => onTables(event.currentTarget.checked)}
        />
        Tables
      </label>
    </div>
  );
}

/** What a program did last. */
function LastTrace({ of: { lastTraceId } }: { of: MapNode }) {
  if (lastTraceId === null) return null;
  return <a class="map-last" href={href(`/traces/${lastTraceId}`)}>last trace</a>;
}

function seconds(ms: number): number {
  return Math.round(ms / 1e3) * 1e3;
}

function Picture({ map, small }: { map: MapAnswer; small: boolean }) {
  const { params } = address.value;
  // The state of "silent" changes without any answer.
  const [nowMs, setNowMs] = useState(Date.now());
  useEffect(() => setNowMs(Date.now()), [map]);
  const silent = useMemo(
    () => new Set(map.nodes.filter((one) => isSilent(one, nowMs)).map(({ name }) => name)),
    [map, nowMs],
  );
  return (
    <MapPicture
      map={map}
      silent={silent}
      node={params.get("node") ?? undefined}
      edge={params.get("edge") ?? undefined}
      small={small}
    />
  );
}

function Chosen({ map }: { map: MapAnswer }) {
  const { params } = address.value;
  const node = map.nodes.find(({ name }) => name === params.get("node"));
  const edge = map.edges.find((one) => edgeKey(one) === params.get("edge"));
  const worst = map.edges.toSorted((a, b) => b.errors / b.calls - a.errors / a.calls)[0];
  if (node !== undefined) return <NodePanel node={node} map={map} />;
  const shown = edge ?? worst;
  if (shown === undefined) return null;
  return (
    <aside class="map-panel" aria-label="Edge">
      <h2>{shown.from} → {shown.to}</h2>
      {edge === undefined && (
        <p class="quiet">
          {shown.errors > 0 ? "The one with the most errors" : "The busiest one"}
        </p>
      )}
      <Figures of={shown} />
      <a class="button" href={tracesHref(condition("edge", edgeKey(shown)))}>Its traces</a>
    </aside>
  );
}

function NodePanel({ node, map }: { node: MapNode; map: MapAnswer }) {
  const silent = isSilent(node, Date.now());
  return (
    <aside class="map-panel" aria-label="Service">
      <h2>
        {node.kind === "service" && <ServiceMark name={node.name} />} {node.name}
      </h2>
      {silent && (
        <p class="error-text">
          {silenceOf(node, Date.now())}
          <LastTrace of={node} />
        </p>
      )}
      {isRestarted(node, Date.now()) && <p>{restartOf(node, Date.now())}</p>}
      {node.program && <p class="quiet">{node.program.what}</p>}
      <Figures of={node} />
      {node.kind === "service" && (
        <div class="button-row">
          {node.program?.page !== undefined && (
            <a class="button" href={reachable(node.program.page)}>Its page</a>
          )}
          <a class="button" href={tracesHref(condition("service", node.name))}>Traces</a>
          <a class="button" href={href("/logs", new URLSearchParams(), { service: node.name })}>
            Logs
          </a>
          <a class="button" href={href("/charts", new URLSearchParams(), { service: node.name })}>
            Charts
          </a>
        </div>
      )}
      <EdgeList title="Calls" edges={map.edges.filter(({ from }) => from === node.name)} end="to" />
      <EdgeList
        title="Called by"
        edges={map.edges.filter(({ to }) => to === node.name)}
        end="from"
      />
    </aside>
  );
}

function EdgeList({ title, edges, end }: {
  title: string;
  edges: readonly MapEdge[];
  end: "from" | "to";
}) {
  if (edges.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <ul class="map-edges">
        {edges.map((edge) => (
          <li key={edgeKey(edge)}>
            <a href={href("/map", address.value.params, { edge: edgeKey(edge), node: undefined })}>
              {edge[end]}
            </a>{" "}
            <span class="quiet">{rateText(edge.rate)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Figures({ of }: { of: Pick<MapEdge, "rate" | "errors" | "calls" | "p95Ms"> }) {
  return (
    <dl class="facts">
      <div>
        <dt>rate</dt>
        <dd>{rateText(of.rate)}</dd>
      </div>
      <div>
        <dt>errors</dt>
        <dd class={of.errors > 0 ? "error-text" : ""}>
          {of.calls === 0 ? "–" : formatPercent(of.errors / of.calls)}
        </dd>
      </div>
      <div>
        <dt>p95</dt>
        <dd>{p95Text(of)}</dd>
      </div>
      <div>
        <dt>calls</dt>
        <dd>{formatCounted(of.calls, "call")}</dd>
      </div>
    </dl>
  );
}

/** Nothing was called: nothing took any time. */
function p95Text({ calls, p95Ms }: Pick<MapEdge, "calls" | "p95Ms">): string {
  return calls === 0 ? "–" : formatDuration(p95Ms);
}

function tracesHref(q: string): string {
  return href("/", new URLSearchParams(), { q });
}

function Tables({ map }: { map: MapAnswer }) {
  const { params } = address.value;
  const nowMs = Date.now();
  const services = map.nodes.toSorted((a, b) =>
    Number(isSilent(b, nowMs)) - Number(isSilent(a, nowMs)) || b.errors - a.errors ||
    b.calls - a.calls
  );
  return (
    <div class="map-tables">
      <div class="table-place" tabIndex={0} role="region" aria-label="Services">
        <table class="table">
          <thead>
            <FigureHead first="Service" />
          </thead>
          <tbody>
            {services.map((node) => (
              <tr key={node.name}>
                <th scope="row">
                  <a href={href("/map", params, { node: node.name, edge: undefined })}>
                    {node.name}
                  </a>
                  {isSilent(node, nowMs) && (
                    <span class="map-last error-text">{node.program ? "down" : "silent"}</span>
                  )}
                </th>
                <FigureCells of={node} />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="table-place" tabIndex={0} role="region" aria-label="Edges">
        <table class="table">
          <thead>
            <FigureHead first="Edge" />
          </thead>
          <tbody>
            {map.edges.map((edge) => (
              <tr key={edgeKey(edge)}>
                <th scope="row">
                  <a href={href("/map", params, { edge: edgeKey(edge), node: undefined })}>
                    {edge.from} → {edge.to}
                  </a>
                </th>
                <FigureCells of={edge} />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function FigureHead({ first }: { first: string }) {
  return (
    <tr>
      <th scope="col">{first}</th>
      <th scope="col" class="number">rate</th>
      <th scope="col" class="number">errors</th>
      <th scope="col" class="number">p95</th>
    </tr>
  );
}

function FigureCells({ of }: { of: Pick<MapEdge, "rate" | "errors" | "calls" | "p95Ms"> }) {
  return (
    <>
      <td class="number">{rateText(of.rate)}</td>
      <td class={of.errors > 0 ? "number error-text" : "number"}>
        {of.calls === 0 ? "–" : formatPercent(of.errors / of.calls)}
      </td>
      <td class="number">{p95Text(of)}</td>
    </>
  );
}
