/**
 * The search of a view: `/` puts the focus there, Escape empties and leaves it. What is typed
 * counts after a short rest. With `complete` it offers how to go on (WAI-ARIA's combobox with a
 * list): arrows choose, Enter or Tab takes, Escape closes.
 *
 * @module
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icon.tsx";
import { useShortcuts } from "./keys.ts";

/** A way to go on. */
export interface Completion {
  /** What is shown. */
  readonly label: string;
  /** More about it. @default nothing */
  readonly detail?: string | undefined;
  /** The whole text, once it is taken. */
  readonly text: string;
}

/** Options of {@linkcode SearchField}. */
export interface SearchFieldProps {
  /** Names the field, in it and to a screen reader. */
  label: string;
  /** Shown in the empty field. @default its label */
  hint?: string | undefined;
  /** The text now; one of the address, say. */
  value: string;
  /** Gets the text, without spaces around it, when a person rests, presses Enter or Escape. */
  onChange: (value: string) => void;
  /** How long a person rests after the last key before `onChange` is called, in milliseconds. @default 200 */
  restMs?: number;
  /** Finds ways to go on from the text up to the caret. @default there are none */
  complete?: ((text: string) => Promise<readonly Completion[]>) | undefined;
  /** What is wrong with the text, in words. @default nothing */
  problem?: string | undefined;
}

/**
 * See the module.
 *
 * @example
 * ```tsx
 * <SearchField label="Search traces" value={params.get("q") ?? ""} onChange={(q) => setParams({ q })} />
 * ```
 */
export function SearchField(props: SearchFieldProps) {
  const { label, hint = label, value, onChange, restMs = 200, complete, problem } = props;
  const field = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const completions = useCompletions(field, complete, (text) => changeAfter(text, 0));
  useShortcuts([{ key: "/", label: "Search", run: () => field.current?.focus() }]);
  useEffect(() => {
    // Back and forward change the value, but what is being typed is not overwritten.
    if (field.current && document.activeElement !== field.current) field.current.value = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);

  function changeAfter(text: string, rest: number) {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(text.trim()), rest);
  }

  return (
    <div class={complete ? "search search-wide" : "search"}>
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        aria-label={label}
        placeholder={hint}
        defaultValue={value}
        spellcheck={false}
        autocomplete="off"
        maxLength={complete ? 1_000 : 200}
        aria-invalid={problem !== undefined}
        title={problem}
        {...completions.attributes}
        onInput={(event) => {
          completions.ask();
          changeAfter(event.currentTarget.value, restMs);
        }}
        onFocus={() => completions.ask()}
        onBlur={() => completions.close()}
        onKeyDown={(event) => {
          if (completions.onKey(event)) return;
          if (event.key === "Enter") changeAfter(event.currentTarget.value, 0);
          if (event.key !== "Escape") return;
          event.preventDefault();
          if (event.currentTarget.value === "") event.currentTarget.blur();
          else {
            event.currentTarget.value = "";
            changeAfter("", 0);
          }
        }}
      />
      <kbd aria-hidden="true">/</kbd>
      {problem !== undefined && <span class="search-problem" role="status">{problem}</span>}
      {completions.list}
    </div>
  );
}

const listId = "search-completions";
/** How long a person rests before ways to go on are looked for, in milliseconds. */
const askAfterMs = 80;

function useCompletions(
  field: { readonly current: HTMLInputElement | null },
  complete: SearchFieldProps["complete"],
  onTaken: (text: string) => void,
) {
  const [offered, setOffered] = useState<readonly Completion[]>([]);
  const [active, setActive] = useState(-1);
  const round = useRef(0);
  useEffect(() => () => void round.current++, []);

  function close() {
    round.current++;
    setOffered([]);
    setActive(-1);
  }

  function ask() {
    if (complete === undefined) return;
    const mine = ++round.current;
    setTimeout(async () => {
      const input = field.current;
      if (mine !== round.current || input === null || document.activeElement !== input) return;
      // It goes on from where a person writes: with more text behind, there is nothing to offer.
      const { value, selectionStart } = input;
      const found = selectionStart === value.length ? await complete(value) : [];
      if (mine !== round.current) return;
      setOffered(found);
      setActive(-1);
    }, askAfterMs);
  }

  function take(one: Completion) {
    const input = field.current!;
    input.value = one.text;
    input.focus();
    onTaken(one.text);
    close();
    ask();
  }

  /** True when the key was for the list. */
  function onKey(event: KeyboardEvent): boolean {
    if (offered.length === 0) return false;
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) {
      setActive(
        (active + step + offered.length + (active < 0 && step < 0 ? 1 : 0)) %
          offered.length,
      );
    } else if ((event.key === "Enter" || event.key === "Tab") && active >= 0) {
      take(offered[active]!);
    } else if (event.key === "Escape") close();
    else return false;
    event.preventDefault();
    return true;
  }

  const open = offered.length > 0;
  return {
    ask,
    close,
    onKey,
    attributes: complete === undefined ? {} : {
      role: "combobox" as const,
      "aria-autocomplete": "list" as const,
      "aria-expanded": open,
      "aria-controls": listId,
      ...(active >= 0 && { "aria-activedescendant": `${listId}-${active}` }),
    },
    list: complete !== undefined && (
      <ul id={listId} class="completions" role="listbox" aria-label="Ways to go on" hidden={!open}>
        {offered.map((one, i) => (
          <li
            key={one.text}
            id={`${listId}-${i}`}
            role="option"
            aria-selected={i === active}
            // The focus stays in the field.
            onMouseDown={(event) => {
              event.preventDefault();
              take(one);
            }}
          >
            <span class="clip">{one.label}</span>
            {one.detail !== undefined && <span class="quiet clip">{one.detail}</span>}
          </li>
        ))}
      </ul>
    ),
  };
}
