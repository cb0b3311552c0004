/**
 * A list of any length of which only the visible rows are in the document. Rows have one height.
 * One of them can be reached by Tab; the arrow keys, Home, End, `j` and `k` move between them. A list
 * can be a tree, whose rows fold by the arrows.
 *
 * @module
 */
import type { ComponentChildren, RefObject, TargetedFocusEvent } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type TreePlace, treePlaces, treeStep } from "./virtual_tree.ts";
import { scrollToRow, virtualWindow } from "./virtual_window.ts";

/** Options of {@linkcode VirtualList}. */
export interface VirtualListProps<Row> {
  /** Names the list to a screen reader. */
  label: string;
  rows: readonly Row[];
  /** What makes two rows the same one. */
  rowKey: (row: Row) => string | number;
  /** Height of each row, in pixels. */
  rowHeight: number;
  /**
   * Draws a row: one element that takes the focus (a link or a button) with the given `tabIndex`. In a
   * tree the row itself takes it.
   */
  children: (row: Row, tabIndex: 0 | -1) => ComponentChildren;
  /** Makes the list a tree, whose rows come depth first. @default it is a list */
  tree?: TreeOptions<Row>;
  /** Called when a key has moved to a row, for what is open beside the list to follow. @default nothing is called */
  onMove?: (row: Row) => void;
  /**
   * Called with true when the list leaves its top, the keyboard's focus enters it or a pointer rests on
   * it, with false when it is back at its top without either.
   *
   * @default nothing is called
   */
  onHold?: (held: boolean) => void;
  /** Called when the end is near, for reading on. @default nothing is called */
  onEnd?: () => void;
  /** Grows to bring the list back to its top; 0 is none. @default 0 */
  topRequest?: number;
  /** A row that is brought into view when it becomes this one, and when the room changes. @default none */
  revealKey?: string | number | undefined;
  /** Under this name the list finds its scroll again when a person comes back to it. @default it begins at its top */
  scrollName?: string;
}

/** What a list needs to be a tree. */
export interface TreeOptions<Row> {
  /** Depth of a row, from 1. */
  level: (row: Row) => number;
  /** Whether what is below a row is shown; undefined where nothing is below it. */
  expanded: (row: Row) => boolean | undefined;
  /** Whether a row is the one whose details are shown. */
  selected: (row: Row) => boolean;
  /** Shows or hides what is below a row. */
  onFold: (row: Row, unfold: boolean) => void;
  /** A row was clicked, or Enter or the space bar pressed on it. */
  onChoose: (row: Row) => void;
}

/** Scrolls by name, for as long as the page lives. */
const scrolls = new Map<string, number>();

/**
 * See the module.
 *
 * @example
 * ```tsx
 * <VirtualList label="Traces" rows={rows} rowKey={(row) => row.traceId} rowHeight={44}>
 *   {(row, tabIndex) => <a href={`/traces/${row.traceId}`} tabIndex={tabIndex}>{row.rootName}</a>}
 * </VirtualList>
 * ```
 */
export function VirtualList<Row>(props: VirtualListProps<Row>) {
  const { rows, rowHeight, onHold, onEnd } = props;
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<View>(() => ({
    scrollTop: props.scrollName === undefined ? 0 : scrolls.get(props.scrollName) ?? 0,
    viewHeight: 600,
  }));

  useMeasured(box, view.scrollTop, (viewHeight) => setView((now) => ({ ...now, viewHeight })));
  useReveal(props, box, view.viewHeight);
  const focus = useFocusInside(() => setView((now) => ({ ...now })));

  const [pointed, setPointed] = useState(false);
  const held = view.scrollTop > 0 || focus.inside || pointed;
  // With the commit: what comes before the next paint must not move a row that is pointed at already.
  useLayoutEffect(() => onHold?.(held), [held]);

  const { start, end, offset, height } = virtualWindow({ count: rows.length, rowHeight, ...view });
  const nearEnd = rows.length > 0 && end >= rows.length;
  useEffect(() => {
    if (nearEnd) onEnd?.();
  }, [nearEnd, rows.length]);

  const { tree } = props;
  const places = useMemo(() => tree && treePlaces(rows.map(tree.level)), [
    rows,
    tree !== undefined,
  ]);
  const { tabStop, onKeyDown } = useTabStop(props, {
    ...{ box, view, start, end, places },
    onView: setView,
  });

  return (
    <div
      class="virtual-list"
      ref={box}
      onScroll={(event) => {
        const { scrollTop } = event.currentTarget;
        if (props.scrollName !== undefined) scrolls.set(props.scrollName, scrollTop);
        setView((now) => ({ ...now, scrollTop }));
      }}
      onKeyDown={onKeyDown}
      onFocusIn={focus.onFocusIn}
      onFocusOut={focus.onFocusOut}
      onPointerEnter={() => setPointed(true)}
      onPointerLeave={() => setPointed(false)}
      onPointerCancel={() => setPointed(false)}
    >
      <VirtualRows list={props} {...{ start, end, tabStop, offset, height, places }} />
    </div>
  );
}

/** What of the list is in sight, in pixels. */
interface View {
  scrollTop: number;
  viewHeight: number;
}

/** Whether the keyboard's focus is inside; `onChange` is called when it enters or leaves. */
function useFocusInside(onChange: () => void) {
  const inside = useRef(false);
  function set(now: boolean) {
    if (inside.current === now) return;
    inside.current = now;
    onChange();
  }
  return {
    inside: inside.current,
    onFocusIn(event: FocusEvent) {
      // Focus given by a click is not the keyboard's: it must not stop a live list for good.
      if ((event.target as Element).matches(":focus-visible")) set(true);
    },
    onFocusOut(event: TargetedFocusEvent<HTMLDivElement>) {
      if (!event.currentTarget.contains(event.relatedTarget as Node | null)) set(false);
    },
  };
}

/** The row that Tab reaches, and the keys that move it. */
function useTabStop<Row>(
  { rows, rowKey, rowHeight, tree, onMove }: VirtualListProps<Row>,
  { box, view, onView, start, end, places }: {
    box: RefObject<HTMLDivElement | null>;
    view: View;
    onView: (view: View) => void;
    start: number;
    end: number;
    /** Where the rows are in their tree; undefined in a list. */
    places: readonly TreePlace[] | undefined;
  },
) {
  const [active, setActive] = useState<string | number | undefined>(undefined);
  const focusWanted = useRef(false);

  const activeIndex = active === undefined ? -1 : rows.findIndex((row) => rowKey(row) === active);
  const tabStop = activeIndex >= start && activeIndex < end
    ? activeIndex
    : Math.min(rows.length - 1, Math.max(0, Math.ceil(view.scrollTop / rowHeight)));

  useLayoutEffect(() => {
    if (!focusWanted.current) return;
    focusWanted.current = false;
    box.current!.querySelector<HTMLElement>('[tabindex="0"]')?.focus({ preventScroll: true });
  });

  function moveTo(index: number) {
    const target = Math.max(0, Math.min(rows.length - 1, index));
    const row = rows[target];
    if (row === undefined) return;
    const element = box.current!;
    element.scrollTop = scrollToRow(target, {
      rowHeight,
      scrollTop: element.scrollTop,
      viewHeight: element.clientHeight,
    });
    focusWanted.current = true;
    setActive(rowKey(row));
    onView({ scrollTop: element.scrollTop, viewHeight: element.clientHeight });
    onMove?.(row);
  }

  /** True if the key was the tree's. */
  function foldByKey(event: KeyboardEvent): boolean {
    const row = rows[tabStop];
    if (tree === undefined || places === undefined || row === undefined) return false;
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (event.key === "Enter" || event.key === " ") {
      setActive(rowKey(row));
      tree.onChoose(row);
      return true;
    }
    const step = treeStep(event.key, tabStop, { places, expanded: tree.expanded(row) });
    if (step === undefined) return false;
    if ("to" in step) moveTo(step.to);
    else {
      // The row keeps its place and the focus, whatever comes or goes below it.
      setActive(rowKey(row));
      tree.onFold(row, step.unfold);
    }
    return true;
  }

  function onKeyDown(event: KeyboardEvent) {
    if (foldByKey(event)) return event.preventDefault();
    const page = Math.max(1, Math.floor(view.viewHeight / rowHeight) - 1);
    const to = rowAfterKey(event, { from: tabStop, page, last: rows.length - 1 });
    if (to === undefined) return;
    event.preventDefault();
    moveTo(to);
  }

  return { tabStop, onKeyDown };
}

/** The rows in sight, in room as high as all of them. */
function VirtualRows<Row>({ list, start, end, offset, height, tabStop, places }: {
  list: VirtualListProps<Row>;
  start: number;
  end: number;
  offset: number;
  height: number;
  /** Index of the row that Tab reaches. */
  tabStop: number;
  /** Where the rows are in their tree; undefined in a list. */
  places: readonly TreePlace[] | undefined;
}) {
  const { rows, rowKey, rowHeight, tree } = list;
  return (
    <div class="virtual-space" style={{ height: `${height}px` }}>
      <ul
        class="virtual-rows"
        role={tree && "tree"}
        aria-label={list.label}
        style={{ top: `${offset}px` }}
      >
        {rows.slice(start, end).map((row, i) => {
          const tabIndex = start + i === tabStop ? 0 : -1;
          const place = places?.[start + i];
          return (
            <li
              key={rowKey(row)}
              aria-setsize={place?.setSize ?? rows.length}
              aria-posinset={place?.position ?? start + i + 1}
              style={{ height: `${rowHeight}px` }}
              {...tree && place && {
                role: "treeitem" as const,
                tabIndex,
                "aria-level": place.level,
                "aria-expanded": tree.expanded(row),
                "aria-selected": tree.selected(row),
                onClick: () => tree.onChoose(row),
              }}
            >
              {list.children(row, tabIndex)}
            </li>
          );
        })}
      </ul>
    </div>
  );
}

/** Follows the list's height, and begins where it was left. */
function useMeasured(
  box: RefObject<HTMLDivElement | null>,
  scrollTop: number,
  onHeight: (height: number) => void,
): void {
  useLayoutEffect(() => {
    const element = box.current!;
    const measure = () => onHeight(element.clientHeight);
    measure();
    element.scrollTop = scrollTop;
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
}

/** Goes to the top, or to a row, when that is asked for. */
function useReveal<Row>(
  { rows, rowHeight, rowKey, topRequest, revealKey }: VirtualListProps<Row>,
  box: RefObject<HTMLDivElement | null>,
  viewHeight: number,
): void {
  useLayoutEffect(() => {
    if (topRequest) box.current!.scrollTop = 0;
  }, [topRequest]);

  useLayoutEffect(() => {
    if (revealKey === undefined) return;
    const element = box.current!;
    const index = rows.findIndex((row) => rowKey(row) === revealKey);
    if (index < 0) return;
    const { scrollTop, clientHeight } = element;
    element.scrollTop = scrollToRow(index, { rowHeight, scrollTop, viewHeight: clientHeight });
  }, [revealKey, viewHeight, rowHeight]);
}

/** The row that a key goes to; `undefined` for a key that is not the list's. */
function rowAfterKey(
  event: KeyboardEvent,
  { from, page, last }: { from: number; page: number; last: number },
): number | undefined {
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const steps: Readonly<Record<string, number>> = {
    ArrowDown: from + 1,
    j: from + 1,
    ArrowUp: from - 1,
    k: from - 1,
    PageDown: from + page,
    PageUp: from - page,
    Home: 0,
    End: last,
  };
  return steps[event.key];
}
