/**
 * The search of a view: `/` puts the focus there, Escape empties and leaves it. What is typed
 * counts after a short rest.
 *
 * @module
 */
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icon.tsx";
import { useShortcuts } from "./keys.ts";

/** Options of {@linkcode SearchField}. */
export interface SearchFieldProps {
  /** Names the field, in it and to a screen reader. */
  label: string;
  /** The text now; one of the address, say. */
  value: string;
  /** Gets the text, without spaces around it, when a person rests, presses Enter or Escape. */
  onChange: (value: string) => void;
  /** How long a person rests after the last key before `onChange` is called, in milliseconds. @default 200 */
  restMs?: number;
}

/**
 * See the module.
 *
 * @example
 * ```tsx
 * <SearchField label="Search traces" value={params.get("q") ?? ""} onChange={(q) => setParams({ q })} />
 * ```
 */
export function SearchField({ label, value, onChange, restMs = 200 }: SearchFieldProps) {
  const field = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
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
    <label class="search">
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        aria-label={label}
        placeholder={label}
        defaultValue={value}
        spellcheck={false}
        autocomplete="off"
        maxLength={200}
        onInput={(event) => changeAfter(event.currentTarget.value, restMs)}
        onKeyDown={(event) => {
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
    </label>
  );
}
