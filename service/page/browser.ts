/**
 * For tests and screenshots of pages: a browser that is on this machine, and programs as they run
 * for people, with the permissions of their shebang, gone with their starter.
 *
 * @module
 */
import fs from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { programArguments } from "../program_file.ts";

const places = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/opt/google/chrome/chrome",
  "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe",
] as const;

/** Chromium or a browser made of it, where one is usually installed; undefined if there is none. */
export function findChromium(): string | undefined {
  return places.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      // Not there, or not to be seen: either way it cannot be started.
      return false;
    }
  });
}

/** Starts a browser without a window that asks nothing of the network by itself. */
export async function openBrowser(
  executablePath: string,
  { env }: { env?: Record<string, string> } = {},
): Promise<Browser> {
  const { chromium } = await loadPlaywright();
  return await chromium.launch({
    executablePath,
    ...(env && { env: { ...Deno.env.toObject(), ...env } }),
    // As root, as in a container, Chromium has no sandbox; it opens nothing but our own pages.
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/**
 * While it loads, playwright looks into `/proc/sys` to learn whether it is in WSL, which Deno
 * allows to nobody but `--allow-all`, and throws at where Node would say no. So it is told no.
 */
async function loadPlaywright(): Promise<typeof import("playwright-core")> {
  const { existsSync } = fs;
  fs.existsSync = (path) => {
    try {
      return existsSync(path);
    } catch {
      return false;
    }
  };
  try {
    return await import("playwright-core");
  } finally {
    fs.existsSync = existsSync;
  }
}

/** A program that runs as a child. */
export interface ChildProgram extends AsyncDisposable {
  /** The fields of the log line that it was ready with: where it listens. */
  readonly fields: Readonly<Record<string, string>>;
  /** Its process. */
  readonly pid: number;
  /** Ends it, at once if `force`. */
  stop(options?: { force?: boolean }): Promise<void>;
}

/** Options of {@linkcode startProgram}. */
export interface StartProgramOptions {
  /** Its environment besides what it inherits. */
  env?: Record<string, string>;
  /** Takes any first log line for readiness: a client has nowhere it listens. @default false */
  anyLine?: boolean;
  /** Longest wait for readiness. @default 20000 */
  readyTimeoutMs?: number;
}

/**
 * Starts a program of the project and waits for its first log line with fields.
 *
 * @throws {Error} it ended, or said nothing in time; the message has what it said.
 */
export async function startProgram(
  entry: string,
  args: readonly string[],
  { env = {}, anyLine = false, readyTimeoutMs = 20_000 }: StartProgramOptions = {},
): Promise<ChildProgram> {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    cwd: root,
    args: await programArguments(
      join(root, entry),
      [...args, "--log-format", "json", "--stop-with-stdin"],
    ),
    // Held open: it ends with this process, whatever happens to it.
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
    env,
  }).spawn();
  const said: string[] = [];
  let ready: (fields: Record<string, string>) => void;
  let failed: (error: Error) => void;
  const first = new Promise<Record<string, string>>((resolve, reject) => {
    ready = resolve;
    failed = reject;
  });
  const timer = setTimeout(
    () => failed(new Error(`${entry} was not ready in ${readyTimeoutMs} ms:\n${said.join("\n")}`)),
    readyTimeoutMs,
  );

  async function listen() {
    let rest = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (said.length < 100) said.push(line);
        if (!line.startsWith("{")) continue;
        const { fields } = JSON.parse(line);
        if (fields || anyLine) ready(fields ?? {});
      }
    }
    failed(new Error(`${entry} ended before it was ready:\n${said.join("\n")}`));
  }

  const listening = listen();
  async function stop({ force = false } = {}): Promise<void> {
    clearTimeout(timer);
    try {
      if (force) child.kill("SIGKILL");
      else await child.stdin.close();
    } catch {
      // Ended by itself already.
    }
    await child.status;
    await listening;
    if (force) await child.stdin.close().catch(() => {});
  }

  try {
    const fields = await first;
    clearTimeout(timer);
    return { fields, pid: child.pid, stop, [Symbol.asyncDispose]: () => stop({ force: true }) };
  } catch (error) {
    await stop({ force: true });
    throw error;
  }
}
