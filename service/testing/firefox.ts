/**
 * For tests of pages in Firefox, where one is installed, over WebDriver BiDi (W3C), which Firefox
 * speaks by itself: playwright-core drives only a Firefox of its own making, and a driver between
 * would be one more program.
 *
 * @module
 */
import assert from "node:assert/strict";

const places = [
  "/usr/bin/firefox-esr",
  "/usr/bin/firefox",
  "/snap/bin/firefox",
  "/Applications/Firefox.app/Contents/MacOS/firefox",
  "C:\\Program Files\\Mozilla Firefox\\firefox.exe",
] as const;

/** Firefox, where it is usually installed; undefined if there is none. */
export function findFirefox(): string | undefined {
  return places.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      // Not there, or not to be seen: either way it cannot be started.
      return false;
    }
  });
}

/** A Firefox without a window, with a profile of its own that ends with it. */
export interface Firefox extends AsyncDisposable {
  /** `153.8.0`. */
  readonly version: string;
  /** Opens a page in a tab of its own and waits until it is loaded. */
  open(url: string): Promise<FirefoxPage>;
}

/** A page in Firefox. */
export interface FirefoxPage {
  /** The value of an expression in the page, awaited; what JSON has. @throws {Error} what it throws there */
  evaluate<Value>(expression: string): Promise<Value>;
  /** Waits until an expression in the page is true. */
  waitFor(expression: string): Promise<void>;
}

/** How long it may take to start, and to answer a command, in milliseconds. */
const patienceMs = 60_000;

/** Starts Firefox. */
export async function openFirefox(executablePath: string): Promise<Firefox> {
  await using undo = new AsyncDisposableStack();
  const profile = await Deno.makeTempDir({ prefix: "firefox-" });
  undo.defer(() => Deno.remove(profile, { recursive: true }));
  await Deno.writeTextFile(`${profile}/user.js`, quiet());
  const child = new Deno.Command(executablePath, {
    args: ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"],
    env: { MOZ_CRASHREPORTER_DISABLE: "1", HOME: profile },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  // What ends with it; a Firefox that answers no command does not hang up by itself either.
  const ends: Promise<unknown>[] = [];
  undo.defer(async () => void await Promise.all(ends));
  undo.defer(async () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await child.status;
  });
  const { url, ended } = await addressOf(child.stderr);
  ends.push(ended);
  const connection = await BidiConnection.open(`${url}/session`);
  ends.push(connection.closed);
  const { capabilities } = await connection.send<{ capabilities: { browserVersion: string } }>(
    "session.new",
    { capabilities: {} },
  );
  const whole = undo.move();
  return {
    version: capabilities.browserVersion,
    async open(url) {
      const { context } = await connection.send<{ context: string }>("browsingContext.create", {
        type: "tab",
      });
      await connection.send("browsingContext.navigate", { context, url, wait: "complete" });
      return new BidiPage(connection, context);
    },
    [Symbol.asyncDispose]: () => whole.disposeAsync(),
  };
}

/** Preferences by which it asks nothing of the network by itself, and of nobody who it is. */
function quiet(): string {
  const preferences = {
    "app.update.auto": false,
    "browser.shell.checkDefaultBrowser": false,
    "browser.safebrowsing.malware.enabled": false,
    "browser.safebrowsing.phishing.enabled": false,
    "captivedetect.canonicalURL": "",
    "datareporting.policy.dataSubmissionEnabled": false,
    // A JSON document stays one, of its own origin, and is no viewer's page.
    "devtools.jsonview.enabled": false,
    "extensions.update.enabled": false,
    "network.captive-portal-service.enabled": false,
    "network.connectivity-service.enabled": false,
    // Every name is this machine: whatever it still asks for does not leave it.
    "network.dns.native-is-localhost": true,
    // Otherwise times are whole milliseconds.
    "privacy.reduceTimerPrecision": false,
    "toolkit.telemetry.enabled": false,
  };
  return Object.entries(preferences)
    .map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`)
    .join("\n");
}

/** Where it listens, as it says on stderr; the rest of what it says is read away. */
async function addressOf(
  stderr: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<{ url: string; ended: Promise<void> }> {
  const reader = stderr.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (true) {
    const found = /WebDriver BiDi listening on (ws:\/\/\S+)/.exec(said);
    if (found) {
      const ended = (async () => {
        while (!(await reader.read()).done);
      })();
      return { url: found[1]!, ended };
    }
    const { value, done } = await reader.read();
    assert.ok(!done, `Firefox has ended: ${said}`);
    said += value;
  }
}

/** Commands and their answers over a WebSocket. */
class BidiConnection {
  /** Resolves when Firefox has hung up. */
  readonly closed: Promise<void>;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const { id, error, message, result } = JSON.parse(data);
      const waiting = this.#waiting.get(id);
      if (error !== undefined) waiting?.reject(new Error(`${error}: ${message}`));
      else waiting?.resolve(result);
    };
    this.closed = new Promise((resolve) => {
      socket.onclose = () => {
        for (const { reject } of this.#waiting.values()) reject(new Error("Firefox has hung up"));
        resolve();
      };
    });
  }

  static async open(url: string): Promise<BidiConnection> {
    const socket = new WebSocket(url);
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = (event) =>
        reject(new Error(`Cannot drive Firefox: ${(event as ErrorEvent).message}`));
    });
    return new BidiConnection(socket);
  }

  async send<Result>(method: string, params: Record<string, unknown>): Promise<Result> {
    const id = this.#next++;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    this.#socket.send(JSON.stringify({ id, method, params }));
    const late = () => answer.reject(new Error(`Firefox did not answer ${method} in time`));
    const timer = setTimeout(late, patienceMs);
    try {
      return await answer.promise as Result;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }
}

class BidiPage implements FirefoxPage {
  readonly #connection: BidiConnection;
  readonly #context: string;

  constructor(connection: BidiConnection, context: string) {
    this.#connection = connection;
    this.#context = context;
  }

  async evaluate<Value>(expression: string): Promise<Value> {
    type Answer =
      | { type: "success"; result: { value?: string } }
      | { type: "exception"; exceptionDetails: { text: string } };
    // As JSON: BiDi has a form of its own for every kind of value.
    const answer = await this.#connection.send<Answer>("script.evaluate", {
      expression: `(async () => JSON.stringify(await (${expression})) ?? "null")()`,
      target: { context: this.#context },
      awaitPromise: true,
    });
    if (answer.type === "exception") throw new Error(answer.exceptionDetails.text);
    return JSON.parse(answer.result.value!);
  }

  async waitFor(expression: string): Promise<void> {
    await this.evaluate(`new Promise((resolve) => {
      const timer = setInterval(() => {
        if (!(${expression})) return;
        clearInterval(timer);
        resolve(true);
      }, 50);
    })`);
  }
}
