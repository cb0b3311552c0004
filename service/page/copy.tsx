/**
 * Copying: a button, a shortened id, a command.
 *
 * @module
 */
import { announce } from "./announce.ts";
import { shortenId } from "./format.ts";
import { Icon } from "./icon.tsx";

/** Copies a text and says so. */
export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    announce(`Copied ${what}`);
  } catch {
    announce(`The browser does not allow copying here. Select ${what} and copy it yourself.`);
  }
}

/**
 * A button that copies.
 *
 * @example
 * ```tsx
 * <CopyButton text={traceId} what="the trace id" />
 * ```
 */
export function CopyButton(
  { text, what, label }: {
    /** What is copied, or how it is made once the button is pressed. */
    text: string | (() => string | Promise<string>);
    /** What it is called in messages, as `the trace id`. */
    what: string;
    /** Text on the button; without one it is an icon. */
    label?: string;
  },
) {
  async function copy() {
    await copyText(typeof text === "string" ? text : await text(), what);
  }
  return (
    <button
      type="button"
      class={label === undefined ? "icon-button" : "button"}
      title={`Copy ${what}`}
      aria-label={label === undefined ? `Copy ${what}` : undefined}
      onClick={copy}
    >
      <Icon name="copy" />
      {label}
    </button>
  );
}

/** A long id: its head, all of it on hover, and a button that copies all of it. */
export function ShortId({ id, what }: { id: string; what: string }) {
  return (
    <span class="short-id">
      <code title={id}>{shortenId(id)}</code>
      <CopyButton text={id} what={what} />
    </span>
  );
}

/**
 * A command or setting, ready to copy.
 *
 * @example
 * ```tsx
 * <CommandLine text="deno task console" />
 * ```
 */
export function CommandLine({ text, what = "the command" }: { text: string; what?: string }) {
  return (
    <div class="command">
      <code>{text}</code>
      <CopyButton text={text} what={what} />
    </div>
  );
}
