/**
 * The stores: which there are, how the chosen one is, what it holds and how that changed.
 *
 * @module
 */
import { useMemo } from "preact/hooks";
import { Chart } from "../../service/page/chart.tsx";
import { CommandLine } from "../../service/page/copy.tsx";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatTime,
  formatTimeWithZone,
} from "../../service/page/format.ts";
import { Empty, Loading } from "../../service/page/states.tsx";
import { address, href } from "../../service/page/url_state.ts";
import { imageName, type ImageView, type StoreView } from "../api.ts";
import { ImageDetail } from "./image_detail.tsx";
import { ImageList } from "./image_list.tsx";
import { UnderWay } from "../../service/page/under_way.tsx";
import { now, observeNow, observing, selected, spoken, stores } from "./store.ts";

/** See the module. */
export function StoresView() {
  const all = stores.value;
  if (all === undefined) return <Loading what="the image stores" />;
  const store = selected.value;
  if (store === undefined) {
    return (
      <Empty title="No image store is known">
        <p>
          Start containerd, CRI-O or rkt's api-service where the observer finds them, or name one:
        </p>
        <CommandLine text="deno task observer --endpoint cri=unix:///run/containerd/containerd.sock" />
        <p>Without a runtime, a simulated store will do:</p>
        <CommandLine text="deno task observer:image-service" />
        <CommandLine text="deno task observer --endpoint cri=127.0.0.1:15442" />
      </Empty>
    );
  }
  const image = address.value.params.get("image");
  return (
    <div class="stores-view">
      <div class="toolbar">
        <ul class="store-tabs" aria-label="Image stores">
          {all.stores.map((one) => (
            <li key={one.id}>
              <a
                href={href("/", address.value.params, { store: one.id, image: undefined })}
                aria-current={one.id === store.id ? "true" : undefined}
              >
                <StateMark store={one} />
                <span class="clip" title={one.id}>{storeName(one)}</span>
                {one.seen && <b>{formatCount(one.seen.images)}</b>}
              </a>
            </li>
          ))}
        </ul>
        {observing.value && (
          <UnderWay
            what="Observing"
            cancelled="the observation"
            request={observing.value}
            afterMs={1_000}
          />
        )}
        <button
          type="button"
          class="button button-main"
          // Disabled it would lose the focus of who has just pressed it.
          aria-disabled={observing.value !== undefined}
          title="Observe now (o)"
          onClick={() => void observeNow()}
        >
          {observing.value ? "Observing" : "Observe now"}
        </button>
      </div>
      <div class={image === null ? "split" : "split split-open"}>
        <div class="store-body" tabIndex={-1}>
          <StoreHead store={store} />
          {store.seen
            ? (
              <>
                <Figures store={store} />
                <div class="store-columns">
                  <Counts store={store} />
                  <Changes store={store} />
                </div>
                <ImageList key={store.id} store={store} />
              </>
            )
            : <NotSeen store={store} pid={all.pid} />}
        </div>
        {image !== null && <ImageDetail store={store} id={image} />}
      </div>
    </div>
  );
}

/** What a store is called in short. */
function storeName({ kind, address, runtime }: StoreView): string {
  const place = address.replace(/^unix:\/\//, "");
  return `${runtime && !/simulated/.test(runtime.name) ? runtime.name : kind} ${place}`;
}

/** Current, stale or not yet asked, by shape as well as colour. */
function StateMark({ store }: { store: StoreView }) {
  const word = stateWord(store);
  const shapes = {
    current: "M10 6a4 4 0 1 1-8 0a4 4 0 0 1 8 0z",
    stale: "M6 1.5L11 10.5H1z",
    "not asked yet": "M2.5 5.25h7v1.5h-7z",
  };
  return (
    <svg
      class={`state-mark state-${word.split(" ")[0]}`}
      viewBox="0 0 12 12"
      width="12"
      height="12"
      role="img"
      aria-label={word}
    >
      <path d={shapes[word]} />
    </svg>
  );
}

function stateWord({ up, history }: StoreView): "current" | "stale" | "not asked yet" {
  return up ? "current" : history.length === 0 ? "not asked yet" : "stale";
}

function StoreHead({ store }: { store: StoreView }) {
  const { runtime, seen, up, reason } = store;
  return (
    <header class="store-head">
      <h1>{store.address}</h1>
      <p class="quiet">
        {store.kind === "cri" ? "Container Runtime Interface" : "rkt api-service"}
        {runtime && ` · ${runtime.name} ${runtime.version}`}
        {store.simulated && <span class="tag">simulated</span>}
      </p>
      {seen && up && (
        <p class="store-state">
          Current: seen <Ago atMs={seen.atMs} /> ago
        </p>
      )}
      {reason !== undefined && (
        <p class="store-state error-text">
          {seen && (
            <>
              Stale, what is shown was seen <Ago atMs={seen.atMs} /> ago.{" "}
            </>
          )}
          {/* Without the time, which would be said each second. */}
          <span role="alert">{reason}</span>
        </p>
      )}
      {reason === undefined &&
        seen?.problems.map((problem) => (
          <p key={problem} class="store-state error-text" role="status">
            In part only: {problem}
          </p>
        ))}
    </header>
  );
}

function Ago({ atMs }: { atMs: number }) {
  const ms = Math.max(0, Math.floor((now.value - atMs) / 1_000) * 1_000);
  return (
    <time dateTime={new Date(atMs).toISOString()} title={formatTimeWithZone(atMs)}>
      {ms === 0 ? "less than a second" : formatDuration(ms)}
    </time>
  );
}

function NotSeen({ store, pid }: { store: StoreView; pid: number }) {
  return (
    <Empty title={store.history.length === 0 ? "Not observed yet" : "Never read so far"}>
      <p>The observer asks when it is told to. Press the button, or send the signal:</p>
      <CommandLine text={`kill -s SIGQUIT ${pid}`} />
      <p>To be asked again and again, start it with an interval:</p>
      <CommandLine text="deno task observer --interval 30s" />
    </Empty>
  );
}

function Figures({ store }: { store: StoreView }) {
  const seen = store.seen!;
  const figures: [label: string, value: string, note?: string][] = [
    ["Images", formatCount(seen.images)],
    ["Their sizes together", formatBytes(seen.sizeBytes)],
    ...(seen.pinned === undefined
      ? []
      : [["Pinned", formatCount(seen.pinned)] as [string, string]]),
    ...seen.filesystems.map(({ mountpoint, usedBytes, inodesUsed }) =>
      [
        "In use on disk",
        formatBytes(usedBytes),
        inodesUsed === undefined ? mountpoint : `${formatCount(inodesUsed)} inodes, ${mountpoint}`,
      ] as [string, string, string]
    ),
  ];
  return (
    <dl class="figures-row">
      {figures.map(([label, value, note]) => (
        <div key={`${label} ${note}`}>
          <dt>{label}</dt>
          <dd>{value}</dd>
          {note && <dd class="quiet clip" title={note}>{note}</dd>}
        </div>
      ))}
    </dl>
  );
}

function Counts({ store }: { store: StoreView }) {
  const { history } = store;
  const timesMs = useMemo(() => history.map(({ atMs }) => atMs), [history]);
  const lines = useMemo(() => [{
    label: "Images",
    color: "--chart-0",
    values: history.map(({ imageCount }) => imageCount ?? null),
  }], [history]);
  const failed = history.filter(({ outcome }) => outcome !== "success").length;
  const last = history.at(-1);
  return (
    <section aria-labelledby="counts-title">
      <h2 id="counts-title">History</h2>
      <Chart
        label="Images at each observation"
        timesMs={timesMs}
        lines={lines}
        format={formatCount}
        height={112}
      />
      <p class="quiet">
        {formatCount(history.length)} {history.length === 1 ? "observation" : "observations"}
        {failed > 0 && `, ${formatCount(failed)} of them failed (the gaps)`}
        {last && (
          <>
            ; the last by {triggerNames[last.trigger]} took {formatDuration(last.durationMs)}
          </>
        )}
      </p>
    </section>
  );
}

const triggerNames = { sigquit: "signal", interval: "interval", http: "request" } as const;

function Changes({ store }: { store: StoreView }) {
  const changes = store.seen!.changes;
  return (
    <section aria-labelledby="changes-title">
      {/* The list itself changes with every look: what is said is this sentence. */}
      <p class="hidden-text" role="status">{spoken.value}</p>
      <h2 id="changes-title">Latest change</h2>
      {changes === undefined && <p class="quiet">This was the first observation.</p>}
      {changes && changes.added + changes.removed === 0 && (
        <p class="quiet">
          Nothing came or went since{" "}
          <time title={formatTimeWithZone(changes.sinceMs)}>
            {formatTime(changes.sinceMs).slice(0, 8)}
          </time>.
        </p>
      )}
      {changes && changes.added + changes.removed > 0 && (
        <ul class="changes">
          {changes.addedImages.map((image) => <Change key={image.id} sign="+" image={image} />)}
          {changes.removedImages.map((image) => <Change key={image.id} sign="−" image={image} />)}
          <More
            hidden={changes.added + changes.removed - changes.addedImages.length -
              changes.removedImages.length}
          />
        </ul>
      )}
    </section>
  );
}

function Change({ sign, image }: { sign: "+" | "−"; image: ImageView }) {
  const name = imageName(image);
  return (
    <li class={sign === "+" ? "change-added" : "change-removed"}>
      <span class="change-sign" aria-hidden="true">{sign}</span>
      <span class="hidden-text">{sign === "+" ? "added" : "removed"}</span>
      <span class="clip" title={name}>{name}</span>
      {image.sizeBytes !== undefined && <span class="quiet">{formatBytes(image.sizeBytes)}</span>}
    </li>
  );
}

function More({ hidden }: { hidden: number }) {
  return hidden > 0 ? <li class="quiet">and {formatCount(hidden)} more</li> : null;
}
