/**
 * What helps to find one's way in a trace: find, next error, critical path, depth, one service,
 * clocks. All of it is in the address.
 *
 * @module
 */
import { useRef } from "preact/hooks";
import { announce } from "../../service/page/announce.ts";
import { formatCount, formatDuration } from "../../service/page/format.ts";
import { Icon } from "../../service/page/icon.tsx";
import { useShortcuts } from "../../service/page/keys.ts";
import { sharedData } from "../../service/page/shared_data.ts";
import { address, href, setParams } from "../../service/page/url_state.ts";
import { condition } from "../queries/search_language.ts";
import { failedSpans, inOrder, nextOf } from "./find_in_trace.ts";
import type { TraceTree, TreeSpan } from "./waterfall.ts";

/** Options of {@linkcode TraceTools}. */
export interface TraceToolsProps {
  tree: TraceTree;
  chosen: TreeSpan | undefined;
  /** Spans that fit what is looked for. */
  matches: readonly TreeSpan[];
  /** Spans whose clocks do not fit their parents', and the largest misfit in milliseconds. */
  skewed: { count: number; largestMs: number };
  /** Shows a span, whatever is folded above it. */
  onShow: (span: TreeSpan) => void;
  /** Folds all spans from this depth on; `undefined` unfolds everything. */
  onDepth: (depth: number | undefined) => void;
}

/** See the module. */
export function TraceTools(props: TraceToolsProps) {
  const { tree, skewed } = props;
  const { params } = address.value;
  return (
    <div class="trace-tools">
      <Find {...props} />
      <NextError {...props} />
      <label class="check">
        <input
          type="checkbox"
          checked={params.has("critical")}
          onChange={(event) => setParams({ critical: event.currentTarget.checked })}
        />
        Critical path
      </label>
      <Depth {...props} />
      {tree.services.length > 1 && <OnlyService tree={tree} />}
      {!sharedData() && (
        <>
          <a class="button" href={href("/flame", undefined, { trace: tree.traceId })}>
            Flame graph
          </a>
          <a class="button" href={compareHref(tree)}>Compare</a>
        </>
      )}
      {skewed.count > 0 && (
        <label
          class="check"
          title={`Clocks of ${
            formatCount(skewed.count)
          } spans do not fit their parents', by up to ${formatDuration(skewed.largestMs)}`}
        >
          <input
            type="checkbox"
            checked={params.has("adjust")}
            onChange={(event) => setParams({ adjust: event.currentTarget.checked })}
          />
          Adjust clocks
        </label>
      )}
    </div>
  );
}

/** Where another trace is chosen: those of the same name first, the rest behind a word to delete. */
function compareHref({ traceId, roots }: TraceTree): string {
  const name = roots[0]?.name ?? "";
  const q = name === "" ? undefined : condition("name", name);
  return href("/", undefined, { compare: traceId, q });
}

function Find({ tree, chosen, matches, onShow }: TraceToolsProps) {
  const field = useRef<HTMLInputElement>(null);
  const text = address.value.params.get("find") ?? "";
  const at = chosen === undefined ? -1 : matches.findIndex((one) => one.id === chosen.id);
  const move = (step: 1 | -1) => {
    const next = nextOf(matches, inOrder(tree), chosen, step);
    if (next === undefined) return false;
    announce(`${matches.indexOf(next) + 1} of ${matches.length}: ${next.name}`);
    onShow(next);
  };
  useShortcuts([
    { key: "/", label: "Find in this trace", run: () => field.current?.focus() },
    { key: "n", label: "Next match", run: () => move(1) },
    { key: "N", label: "Previous match", run: () => move(-1) },
  ]);
  return (
    <span class="find" role="search">
      <input
        ref={field}
        type="search"
        aria-label="Find in this trace"
        placeholder="Find in this trace"
        value={text}
        maxLength={200}
        onInput={(event) => setParams({ find: event.currentTarget.value }, { replace: true })}
        onKeyDown={(event) => {
          if (event.key === "Enter") {
            event.preventDefault();
            move(event.shiftKey ? -1 : 1);
          } else if (event.key === "Escape") {
            event.stopPropagation();
            if (text === "") field.current?.blur();
            setParams({ find: undefined }, { replace: true });
          }
        }}
      />
      {text !== "" && (
        <>
          <span class="quiet" role="status">
            {matches.length === 0
              ? "none"
              : at < 0
              ? formatCount(matches.length)
              : `${at + 1} of ${formatCount(matches.length)}`}
          </span>
          <button
            type="button"
            class="icon-button"
            title="Previous match (N)"
            aria-label="Previous match"
            onClick={() => move(-1)}
          >
            <Icon name="up" />
          </button>
          <button
            type="button"
            class="icon-button"
            title="Next match (n)"
            aria-label="Next match"
            onClick={() => move(1)}
          >
            <Icon name="down" />
          </button>
        </>
      )}
    </span>
  );
}

function NextError({ tree, chosen, onShow }: TraceToolsProps) {
  const move = () => {
    const next = nextOf(failedSpans(tree), inOrder(tree), chosen, 1);
    if (next === undefined) return false;
    announce(`Error: ${next.name}`);
    onShow(next);
  };
  useShortcuts([{ key: "e", label: "Next error", run: move }]);
  if (tree.errorCount === 0) return null;
  return (
    <button type="button" class="button" title="Next error (e)" onClick={move}>
      Next error
    </button>
  );
}

function Depth({ tree, onDepth }: TraceToolsProps) {
  const deepest = [...tree.spans.values()].reduce((most, { depth }) => Math.max(most, depth), 0);
  if (deepest === 0) return null;
  const chosen = address.value.params.get("depth") ?? "";
  return (
    <label class="field">
      <span class="field-label">Depth</span>
      <select
        value={chosen}
        onChange={(event) => {
          const depth = Number(event.currentTarget.value) || undefined;
          setParams({ depth });
          onDepth(depth);
        }}
      >
        <option value="">all</option>
        {Array.from({ length: Math.min(deepest, 12) }, (_, i) => i + 1).map((depth) => (
          <option key={depth} value={String(depth)}>{depth}</option>
        ))}
      </select>
    </label>
  );
}

function OnlyService({ tree }: { tree: TraceTree }) {
  const chosen = address.value.params.get("only") ?? "";
  return (
    <label class="field">
      <span class="field-label">Only</span>
      <select
        value={chosen}
        onChange={(event) => setParams({ only: event.currentTarget.value })}
      >
        <option value="">all services</option>
        {tree.services.map(({ name }) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}
