/**
 * The programs that run beside this one, each with its state, behind the brand; and where a trace is.
 *
 * @module
 */
import type { ComponentChild } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { type ListedProgram, type ProgramsAnswer, programsPath } from "../program_list.ts";
import { withBase } from "./base_path.ts";
import { CopyButton } from "./copy.tsx";
import { shortenId } from "./format.ts";
import { getJson } from "./get_json.ts";
import { Icon } from "./icon.tsx";

const known = signal<ProgramsAnswer>({ programs: [] });

/** The programs beside this one, as they were last asked for. */
export { known as knownPrograms };

async function ask(): Promise<void> {
  try {
    known.value = await getJson<ProgramsAnswer>(programsPath, { timeoutMs: 3_000 });
  } catch {
    // The page's own program does not answer: its connection's state says so already.
  }
}

/**
 * The address of a page as this page's reader reaches it: loopback by the name that is in the address,
 * so that what is remembered (the theme) holds there, too.
 */
export function reachable(url: string): string {
  const target = new URL(url);
  const isLoopback = (host: string) => /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(host);
  if (isLoopback(target.hostname) && isLoopback(location.hostname)) {
    target.hostname = location.hostname;
  }
  return target.href.replace(/\/$/, "");
}

/** Where a trace is in the console; `undefined` where none is known. */
export function traceAddress(traceId: string): string | undefined {
  const { console: url } = known.value;
  return url === undefined ? undefined : `${reachable(url)}/traces/${traceId}`;
}

/** A trace's id: a link into the console where there is one, and to be copied. */
export function TraceId({ id }: { id: string }) {
  const address = traceAddress(id);
  const code = <code title={id}>{shortenId(id)}</code>;
  return (
    <span class="short-id">
      {address === undefined ? code : <a href={address} title="Open trace">{code}</a>}
      <CopyButton text={id} what="the trace id" />
    </span>
  );
}

const words: Readonly<Record<ListedProgram["state"], string>> = {
  starting: "starting",
  up: "up",
  down: "down",
};

/** How it is: how it ended while it is down, that it did when it is up again. */
function stateText({ state, ended }: ListedProgram): string {
  if (ended === undefined) return words[state];
  return state === "down" ? `down (${ended})` : `${words[state]} again`;
}

/** The brand; where programs are known, a button that lists them. */
export function ProgramSwitch({ mark, program }: { mark: ComponentChild; program: string }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const [isOpen, setOpen] = useState(false);
  useEffect(() => void ask(), []);
  const isAlone = known.value.programs.length === 0;
  useEffect(() => {
    // Who is alone stays alone: what starts others tells a program so when it starts it.
    if (isAlone || isOpen) return;
    const timer = setInterval(() => document.visibilityState !== "hidden" && ask(), 10_000);
    return () => clearInterval(timer);
  }, [isAlone, isOpen]);
  useEffect(() => {
    if (!isOpen) return;
    const timer = setInterval(ask, 2_000);
    const closeElsewhere = (event: Event) => {
      if (!menu.current?.contains(event.target as Node)) menu.current!.open = false;
    };
    document.addEventListener("pointerdown", closeElsewhere);
    return () => {
      clearInterval(timer);
      document.removeEventListener("pointerdown", closeElsewhere);
    };
  }, [isOpen]);
  const { programs } = known.value;
  const brand = (
    <>
      {mark}
      <span class="brand-name">Orrery</span> <span class="brand-program">{program}</span>
    </>
  );
  if (programs.length === 0) return <a class="brand" href={withBase("/")}>{brand}</a>;
  return (
    <details
      class="switch"
      ref={menu}
      onToggle={(event) => {
        setOpen(event.currentTarget.open);
        if (event.currentTarget.open) ask();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !menu.current?.open) return;
        event.preventDefault();
        menu.current.open = false;
        menu.current.querySelector("summary")?.focus();
      }}
    >
      <summary class="brand" title="The programs that run beside it">
        {brand}
        {programs.some(({ state }) => state === "down") && (
          <span class="switch-down">
            {programs.filter((one) => one.state === "down").length} down
          </span>
        )}
        <Icon name="down" />
      </summary>
      <ul class="switch-list">
        {programs.map((one) => (
          <li key={one.name} class={`switch-${one.state}`}>
            {one.page === undefined
              ? <span class="switch-name">{one.name}</span>
              : <a class="switch-name" href={reachable(one.page)}>{one.name}</a>}
            <span class="switch-state">{stateText(one)}</span>
            <span class="quiet switch-what">{one.what}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}
