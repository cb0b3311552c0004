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
  label: string;
  value: string;
  onChange: (value: string) => void;
  /** Rest after the last key, before the search is made. @default 200 */
  restMs?: number;
}

/** See the module. */
export function SearchField({ label, value, onChange, restMs = 200 }: SearchFieldProps) {
  const field = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useShortcuts([{ key: "/", label: "Search", run: () => field.current?.focus() }]);
  useEffect(() => {
    // Back and forward change the value, but what is being typed is not overwritten.
    if (field.current && document.activeElement !== field.current) field.current.value = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);

  function tell(text: string, rest: number) {
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
        onInput={(event) => tell(event.currentTarget.value, restMs)}
        onKeyDown={(event) => {
          if (event.key === "Enter") tell(event.currentTarget.value, 0);
          if (event.key !== "Escape") return;
          event.preventDefault();
          if (event.currentTarget.value === "") event.currentTarget.blur();
          else {
            event.currentTarget.value = "";
            tell("", 0);
          }
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}
