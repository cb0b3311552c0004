/**
 * A program's life in this process: what it would end is written down instead. In processes of their
 * own: `life_cycle_program_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { commandLine, flag } from "./command_line.ts";
import {
  runCommand,
  runService,
  type RunServiceOptions,
  type Service,
  type ServiceContext,
  StartError,
} from "./life_cycle.ts";
import { stderrLines, stdoutLines } from "./log.ts";
import { aborted } from "./resilience.ts";
import { testWith } from "./testing/permissions.ts";
import { TelemetryVariableError } from "./telemetry/variable_error.ts";
import { realWorld } from "./world/world.ts";

/** Flags are read from the environment, too. */
const test = (name: string, run: () => Promise<void>) => testWith(["env"], name, run);

/** What the platform would have been told. */
class TestProcess {
  readonly out: string[] = [];
  readonly err: string[] = [];
  readonly signals = new Map<string, () => void>();
  readonly listeners = new Map<string, (event: unknown) => void>();
  nowMs = 5_000;
  readonly #exit = Promise.withResolvers<number>();
  #hasEnded = false;
  /** Ends what would have ended with the process. */
  onExit: () => void = () => {};
  /** What stdin gives, piece by piece, and then. */
  stdin: (number | null | Error)[] = [];

  /** The exit code. */
  get exited(): Promise<number> {
    return this.#exit.promise;
  }

  /** The first is it; what comes behind it would not have run. */
  end(code: number): void {
    this.#hasEnded = true;
    this.#exit.resolve(code);
  }

  /** The exit code of what is running; what it does behind its end is over then, too. */
  async codeOf(running: Promise<void>): Promise<number> {
    const code = await this.exited;
    this.onExit();
    await running;
    return code;
  }

  /** A line without its time; none of what is behind the end. */
  keep(lines: string[]): (line: string) => void {
    return (line) => {
      if (!this.#hasEnded) lines.push(line.replace(/^\S+ \S+ (\w+) \[/, "$1 ["));
    };
  }

  /** Presses Ctrl-C, or the like; gives whether that ended the process. */
  signal(name: string): boolean {
    this.signals.get(name)!();
    return this.#hasEnded;
  }
}

/** Puts other values in the place of an object's, until it is disposed of. */
function replaced<T extends object>(object: T, values: { [K in keyof T]?: unknown }): Disposable {
  const before = Object.keys(values)
    .map((name) => [name, Object.getOwnPropertyDescriptor(object, name)] as const);
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(object, name, { value, configurable: true, writable: true });
  }
  return {
    [Symbol.dispose]() {
      for (const [name, descriptor] of before) {
        if (descriptor) Object.defineProperty(object, name, descriptor);
        else delete object[name as keyof T];
      }
    },
  };
}

/** Runs where nothing reaches the real process. */
async function inProcess(
  args: readonly string[],
  run: (process: TestProcess) => Promise<void>,
  os: typeof Deno.build.os = "linux",
): Promise<void> {
  const process = new TestProcess();
  using _deno = replaced(Deno, {
    ...{ args, build: { ...Deno.build, os }, exit: (code: number) => process.end(code) },
    addSignalListener: (name: string, handler: () => void) => process.signals.set(name, handler),
    stdin: {
      read: () => {
        const next = process.stdin.shift();
        if (next === undefined) return new Promise(() => {});
        return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
      },
    },
  });
  using _global = replaced(globalThis, {
    addEventListener: (name: string, handler: (event: unknown) => void) =>
      process.listeners.set(name, handler),
  });
  const flush = () => Promise.resolve();
  using _out = replaced(stdoutLines, { write: process.keep(process.out), flush });
  using _err = replaced(stderrLines, { write: process.keep(process.err), flush });
  using _time = replaced(realWorld, { monotonicMs: () => process.nowMs });
  await run(process);
}

/** A program that ends as its test says. */
function program() {
  return commandLine({ name: "fixture", summary: "A program.", examples: [["fixture", "runs"]] })
    .addOption(flag("--size <n>", "how much")).configureOutput({ writeOut() {}, writeErr() {} });
}

type Start = (context: ServiceContext, flags: Record<string, unknown>) => Promise<Service>;

/** Lives, and gives the exit code. */
async function live(
  process: TestProcess,
  start: Start,
  options: RunServiceOptions = {},
): Promise<number> {
  const running = runService(program(), (flags, context) => start(context, flags), {
    ...{ telemetry: false, ...options },
  });
  return await process.codeOf(running);
}

/** A service that serves until it is stopped. */
function serving(stop: Service["stop"] = () => Promise.resolve()): Service {
  return { stop };
}

test("a program that is asked to stop ends with 0, by each signal", async () => {
  for (const signal of ["SIGINT", "SIGTERM"]) {
    await inProcess(["--size", "3", "--shutdown-delay", "0"], async (process) => {
      const code = live(process, (context, flags) => {
        assert.equal(flags.size, "3");
        assert.deepEqual([flags.logFormat, flags.logLevel], ["text", "info"]);
        assert.deepEqual([flags.shutdownDelay, flags.drainTimeoutMs], [0, 10_000]);
        assert.equal(context.world, realWorld);
        assert.equal(context.telemetry.enabled, false);
        context.log.info("ready");
        queueMicrotask(() => process.signal(signal));
        return Promise.resolve(serving());
      });
      assert.equal(await code, 0);
      assert.deepEqual([process.out, process.err], [["INFO [fixture] ready"], []]);
    });
  }
});

test("a Ctrl-C that comes several times is one press; a second one ends what drains", async () => {
  await inProcess([], async (process) => {
    let stopped = 0;
    const code = live(process, () => {
      const stop = () => {
        stopped++;
        return new Promise<void>((resolve) => process.onExit = resolve);
      };
      return Promise.resolve(serving(stop));
    });
    while (!process.signals.has("SIGINT")) await new Promise((resolve) => setTimeout(resolve));
    await new Promise((resolve) => setTimeout(resolve));
    assert.equal(process.signal("SIGINT"), false);
    await new Promise((resolve) => setTimeout(resolve));
    assert.equal(stopped, 1);
    process.nowMs += 999;
    assert.equal(process.signal("SIGINT"), false);
    process.nowMs += 1;
    assert.equal(process.signal("SIGTERM"), false, "a supervisor repeats itself");
    assert.equal(process.signal("SIGINT"), true);
    assert.equal(await code, 130);
  });
});

test("Windows knows no SIGTERM", async () => {
  await inProcess([], async (process) => {
    const code = live(process, () => {
      queueMicrotask(() => process.signal("SIGINT"));
      return Promise.resolve(serving());
    });
    assert.equal(await code, 0);
    assert.deepEqual([...process.signals.keys()], ["SIGINT"]);
  }, "windows");
});

test("a program ends with the code of its work, or 1 where that fails", async () => {
  for (
    const [finished, code, lines] of [
      [() => Promise.resolve(3), 3, []],
      [() => Promise.resolve(), 0, []],
      [
        () => Promise.reject(new StartError("the key is gone")),
        ...[1, ["ERROR [fixture] the key is gone"]] as const,
      ],
      [
        () => Promise.reject(new TypeError("no way")),
        1,
        [/^ERROR \[fixture\] Unexpected error, the process ends exception\.type=TypeError exception\.message="no way" exception\.stacktrace=/],
      ],
      [
        () => Promise.reject("a word"),
        1,
        [/^ERROR \[fixture\] Unexpected error, the process ends exception\.type=Error exception\.message="a word"/],
      ],
    ] as const
  ) {
    await inProcess([], async (process) => {
      let context: ServiceContext | undefined;
      const ended = live(process, (given) => {
        context = given;
        return Promise.resolve({ ...serving(), finished: finished() as Promise<number> });
      });
      assert.equal(await ended, code);
      assert.equal(process.out.length, lines.length);
      for (const [index, line] of lines.entries()) {
        if (typeof line === "string") assert.equal(process.out[index], line);
        else assert.match(process.out[index]!, line);
      }
      assert.equal(context!.health.live, lines.length === 0);
    });
  }
});

test("a start that fails says why, and ends with 1; with 2 where a variable is wrong", async () => {
  for (
    const [error, code, text] of [
      [new StartError("The key is unreadable."), 1, "fixture: The key is unreadable."],
      [new TelemetryVariableError("OTEL_X is 'y'."), 2, "fixture: OTEL_X is 'y'."],
      [new TypeError("no way"), 1, /^fixture: unexpected error: TypeError: no way\n +at /],
      ["a word", 1, "fixture: unexpected error: a word"],
    ] as const
  ) {
    await inProcess([], async (process) => {
      assert.equal(await live(process, () => Promise.reject(error)), code);
      assert.deepEqual(process.out, []);
      assert.equal(process.err.length, 1);
      if (typeof text === "string") assert.equal(process.err[0], text);
      else assert.match(process.err[0]!, text);
    });
  }
});

test("an error that nothing caught ends the process with its reason", async () => {
  for (
    const [name, event] of [
      ["error", { error: new TypeError("nobody catches this") }],
      ["unhandledrejection", { reason: new TypeError("nobody catches this") }],
    ] as const
  ) {
    await inProcess([], async (process) => {
      let prevented = 0;
      process.onExit = () => process.signal("SIGTERM");
      const code = live(process, () => {
        const preventDefault = () => prevented++;
        queueMicrotask(() => process.listeners.get(name)!({ ...event, preventDefault }));
        return Promise.resolve(serving());
      });
      assert.equal(await code, 1);
      assert.equal(prevented, 1);
      assert.match(process.out[0]!, /^ERROR .*exception\.message="nobody catches this"/);
    });
  }
});

test("with --stop-with-stdin a program ends with its stdin, or where that cannot be read", async () => {
  for (const last of [null, new Error("bad descriptor")]) {
    await inProcess(["--stop-with-stdin"], async (process) => {
      process.stdin = [7];
      const code = live(process, async ({ stopping }) => {
        setTimeout(() => {
          assert.equal(process.signals.size, 2);
          process.stdin = [last];
        });
        await Promise.race([aborted(stopping), new Promise((resolve) => setTimeout(resolve))]);
        return serving();
      });
      process.stdin.push(last);
      assert.equal(await code, 0);
    });
  }
  await inProcess([], async (process) => {
    process.stdin = [null];
    const code = live(process, () => {
      setTimeout(() => process.signal("SIGTERM"));
      return Promise.resolve(serving());
    });
    assert.equal(await code, 0);
    assert.deepEqual(process.stdin, [null], "stdin is nobody's without the flag");
  });
});

test("the log is as the flags say, and goes to stderr where stdout is for data", async () => {
  for (const stdout of ["log", "data"] as const) {
    await inProcess(["--log-format", "json", "--log-level", "warn"], async (process) => {
      const code = live(process, ({ log }) => {
        log.info("not this");
        log.warn("but this");
        return Promise.resolve({ ...serving(), finished: Promise.resolve() });
      }, { stdout, serviceName: "named" });
      assert.equal(await code, 0);
      const [lines, others] = stdout === "log"
        ? [process.out, process.err]
        : [process.err, process.out];
      assert.equal(lines.length, 1);
      assert.match(lines[0]!, /"named".*"but this"/);
      assert.deepEqual(others, []);
    });
  }
});

test("wrong use ends with 2, help and the version with 0", async () => {
  for (
    const [args, code] of [
      [["--nonsense"], 2],
      [["--log-level", "loud"], 2],
      [["--log-format", "xml"], 2],
      [["--shutdown-delay", "601"], 2],
      [["--drain-timeout-ms", "600001"], 2],
      [["--help"], 0],
      [["--version"], 0],
      [["sub", "--nonsense"], 2],
    ] as const
  ) {
    await inProcess(args, async (process) => {
      let started = 0;
      const sub = program().command("sub").configureOutput({ writeOut() {}, writeErr() {} });
      const start = () => {
        started++;
        return Promise.resolve(serving());
      };
      const ended = live(process, start, { subcommands: [{ command: sub, start }] });
      assert.equal(await ended, code, args.join(" "));
      assert.equal(started, 0);
    });
  }
});

test("the shared flags are in the help, with what they do", async () => {
  for (const stdout of ["log", "data"] as const) {
    await inProcess(["--help"], async (process) => {
      let help = "";
      const command = program().configureOutput({ writeOut: (text) => help += text });
      const running = runService(command, () => Promise.resolve(serving()), {
        ...{ stdout, telemetry: false },
      });
      assert.equal(await process.codeOf(running), 0);
      const text = help.replace(/\s+/g, " ");
      for (
        const said of [
          `--log-format <format> how log lines look on ${
            stdout === "log" ? "stdout" : "stderr"
          } (choices: "text", "json", default: "text"`,
          "--log-level <level> the least important level that is logged (choices:",
          "--shutdown-delay <duration> how long to serve on, not ready any more, before a stop; a bare number is seconds (default: 0",
          "--drain-timeout-ms <ms> how long a stop waits for what is under way (default: 10s",
          "--stop-with-stdin stop when stdin ends, so that the program never outlives its parent",
        ]
      ) assert.ok(text.includes(said), `${said} in ${text}`);
    });
  }
});

test("a service under a name of its own gets its arguments, its flags and the program's", async () => {
  await inProcess(
    ["replay", "a", "--fast", "--size", "3", "--log-level", "error"],
    async (process) => {
      const command = program();
      const replay = command.command("replay").argument("<file>").option("--fast");
      let seen: unknown;
      const running = runService(command, () => Promise.reject(new Error("another")), {
        telemetry: false,
        subcommands: [{
          command: replay,
          start: (args, { fast, size, logLevel }, { log }) => {
            seen = [args, { fast, size, logLevel }];
            log.warn("not this");
            return Promise.resolve({ ...serving(), finished: Promise.resolve(4) });
          },
        }],
      });
      assert.equal(await process.codeOf(running), 4);
      assert.deepEqual(seen, [["a"], { fast: true, size: "3", logLevel: "error" }]);
      assert.deepEqual(process.out, []);
    },
  );
});

test("runCommand() lets a command end by itself, and says why it cannot", async () => {
  await inProcess([], async (process) => {
    let ran = 0;
    await runCommand(program().action(() => void ran++));
    assert.equal(ran, 1);
    const failing = program().action(() =>
      Promise.reject(new StartError("There is no such file."))
    );
    assert.equal(await process.codeOf(runCommand(failing)), 1);
    assert.deepEqual(process.err, ["fixture: There is no such file."]);
  });
});
