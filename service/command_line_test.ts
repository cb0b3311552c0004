import assert from "node:assert/strict";
import process from "node:process";
import {
  commandLine,
  flag,
  parseByteCount,
  parseDuration,
  parseHttpUrl,
  parseInteger,
  parseNumber,
  parsePort,
} from "./command_line.ts";
import { testWith } from "./testing/permissions.ts";

function testCommand() {
  return commandLine({
    name: "test-server",
    summary: "Serves as a test.",
    examples: [["test-server --port 1", "listens"], ["test-server", "listens too"]],
  }).exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
}

Deno.test("parseInteger() takes whole numbers within its bounds and says which they are", () => {
  assert.equal(parsePort("0"), 0);
  assert.equal(parsePort("65535"), 65535);
  for (const text of ["65536", "-1", "1.5", "", "x", "1e3", "0x10"]) {
    assert.throws(() => parsePort(text), /whole number from 0 to 65535/, text);
  }
  assert.throws(() => parseInteger({ min: 1 })("0"), /at least 1/);
});

Deno.test("parseNumber() refuses what is no finite number", () => {
  assert.equal(parseNumber()("0.25"), 0.25);
  for (const text of ["", " ", "NaN", "Infinity", "-0.1"]) {
    assert.throws(() => parseNumber()(text), /at least 0/, text);
  }
});

Deno.test("parseDuration() takes units, and a bare number in the contract's", () => {
  const cases: [string, number][] = [
    ["500ms", 500],
    ["30s", 30_000],
    ["5m", 300_000],
    ["1h", 3_600_000],
    ["1.5s", 1_500],
    ["2 S", 2_000],
    ["0", 0],
  ];
  for (const unit of ["ms", "s"] as const) {
    for (const [text, ms] of cases) assert.equal(parseDuration({ unit })(text), ms, text);
  }
  assert.equal(parseDuration({ unit: "ms" })("250"), 250);
  assert.equal(parseDuration({ unit: "s" })("0.02"), 20);
});

Deno.test("parseDuration() refuses what is none or out of range, and says what was given", () => {
  for (const text of ["", " ", "s", "-1s", "1e3", "1d", "1m30s", "soon", "0x10", "Infinity"]) {
    assert.throws(
      () => parseDuration({ unit: "s" })(text),
      { message: `Give a duration such as 30s, 500ms, 5m or 1h: current value is '${text}'.` },
    );
  }
  const parse = parseDuration({ unit: "ms", minMs: 10, maxMs: 90_000 });
  for (const text of ["9", "9.9ms", "91s", "2m", "1h"]) {
    assert.throws(
      () => parse(text),
      { message: `Give a duration from 10ms to 90s: current value is '${text}'.` },
    );
  }
  assert.equal(parse("90s"), 90_000);
  assert.throws(() => parseDuration({ unit: "s", minMs: 1_000 })("0"), /of at least 1s: current/);
  assert.throws(() => parseDuration({ unit: "s" })("999h"), /from 0 to 24 days: current/);
});

Deno.test("commandLine() shows a duration's default with its unit, and how durations are written", () => {
  const helpOf = (build: (command: ReturnType<typeof testCommand>) => void) => {
    let help = "";
    const command = testCommand().configureOutput({ writeOut: (text) => help += text });
    build(command);
    command.outputHelp();
    return help;
  };
  const help = helpOf((command) =>
    command.addOption(
      flag("--wait-ms <ms>", "a wait").argParser(parseDuration({ unit: "ms" })).default(90_000),
    )
  );
  assert.match(help, /a wait \(default: 90s, env: TEST_SERVER_WAIT_MS\)/);
  assert.match(help, /Durations are written 500ms, 30s, 5m or 1h.*\n\nExamples:/s);
  assert.doesNotMatch(helpOf(() => {}), /Durations/);
});

Deno.test("parseByteCount() knows decimal and binary units", () => {
  assert.equal(parseByteCount("1048576"), 1_048_576);
  assert.equal(parseByteCount("10MiB"), 10 * 1024 * 1024);
  assert.equal(parseByteCount("10 mb"), 10_000_000);
  assert.equal(parseByteCount("1.5 KiB"), 1536);
  for (const text of ["", "MiB", "-1", "1 TB", "0.3"]) {
    assert.throws(() => parseByteCount(text), /number of bytes/, text);
  }
});

Deno.test("parseHttpUrl() refuses other schemes and relative URLs", () => {
  assert.equal(parseHttpUrl("http://127.0.0.1:4318"), "http://127.0.0.1:4318");
  assert.throws(() => parseHttpUrl("127.0.0.1:4318"), /http:\/\//);
  assert.throws(() => parseHttpUrl("file:///etc"), /http:\/\//);
});

Deno.test("commandLine() refuses an unknown flag and points to --help", () => {
  let told = "";
  const command = testCommand().configureOutput({ writeErr: (text) => told += text });
  assert.throws(() => command.parse(["--prot", "1"], { from: "user" }), /unknown option '--prot'/);
  assert.match(told, /Try 'test-server --help'/);
});

Deno.test("commandLine() ends its help with the examples and names each flag's variable", () => {
  let help = "";
  const command = testCommand()
    .configureOutput({ writeOut: (text) => help += text })
    .addOption(flag("--data-dir <folder>", "where data goes"));
  command.outputHelp();
  assert.match(help, /env: TEST_SERVER_DATA_DIR/);
  assert.match(help, /Examples:\n {2}test-server --port 1 {2}listens\n/);
});

testWith(
  ["env"],
  "commandLine() takes a flag from its environment variable, after the command line",
  () => {
    const parse = (args: string[]) =>
      testCommand()
        .addOption(flag("--port <port>", "the port").argParser(parsePort).default(1))
        .parse(args, { from: "user" }).opts().port;
    process.env["TEST_SERVER_PORT"] = "7";
    try {
      assert.equal(parse([]), 7);
      assert.equal(parse(["--port", "8"]), 8);
      process.env["TEST_SERVER_PORT"] = "no";
      assert.throws(() => parse([]), /TEST_SERVER_PORT.*whole number/s);
    } finally {
      delete process.env["TEST_SERVER_PORT"];
    }
    assert.equal(parse([]), 1);
  },
);

testWith(["env"], "commandLine() mirrors a sub-command's flags too", () => {
  process.env["TEST_SERVER_DEEP"] = "9";
  try {
    let seen: number | undefined;
    const command = testCommand();
    command.command("sub")
      .addOption(flag("--deep <n>", "deep").argParser(parseInteger()))
      .action((options) => {
        seen = options.deep;
      });
    command.parse(["sub"], { from: "user" });
    assert.equal(seen, 9);
  } finally {
    delete process.env["TEST_SERVER_DEEP"];
  }
});

testWith(
  ["env"],
  "commandLine() checks a variable as strictly as the flag, and takes lists apart",
  () => {
    const parse = (variables: Record<string, string>) => {
      Object.assign(process.env, variables);
      try {
        const command = testCommand()
          .addOption(flag("--level <level>", "how much").choices(["low", "high"] as const))
          .addOption(flag("--origin <origin...>", "who may"))
          .addOption(flag("--part <part...>", "which").choices(["a", "b"] as const))
          .addOption(flag("--wait <s>", "how long").argParser(parseDuration({ unit: "s" })));
        command.parse([], { from: "user" });
        return command.opts();
      } finally {
        for (const name of Object.keys(variables)) delete process.env[name];
      }
    };
    assert.deepEqual(parse({ TEST_SERVER_LEVEL: "low", TEST_SERVER_WAIT: "5m" }), {
      level: "low",
      wait: 300_000,
    });
    assert.deepEqual(parse({ TEST_SERVER_ORIGIN: "http://a, http://b http://c" }).origin, [
      "http://a",
      "http://b",
      "http://c",
    ]);
    for (
      const [variable, value, reason] of [
        ["LEVEL", "", "Allowed choices are low, high"],
        ["LEVEL", "Low", "Allowed choices are low, high"],
        ["PART", "c", "Allowed choices are a, b"],
        ["WAIT", "", "Give a duration"],
        ["WAIT", "soon", "Give a duration"],
      ] as const
    ) {
      assert.throws(
        () => parse({ [`TEST_SERVER_${variable}`]: value }),
        new RegExp(`value '${value}' from env 'TEST_SERVER_${variable}' is invalid\\. ${reason}`),
      );
    }
  },
);

testWith(["env"], "commandLine() takes a flag's variable for what it says", () => {
  const parse = (variables: Record<string, string>, args: string[] = []) => {
    Object.assign(process.env, variables);
    try {
      const command = testCommand()
        .addOption(flag("--insecure", "believe anyone"))
        .addOption(flag("--no-streaming", "all at once"))
        .addOption(flag("--colour", "with colours"))
        .addOption(flag("--no-colour", "without colours"))
        .addOption(flag("--page", "with a page"))
        .addOption(flag("--no-page", "without").env("TEST_SERVER_NO_PAGE"))
        .addOption(flag("--sound", "with sound").default(true));
      command.parse(args, { from: "user" });
      return command.opts();
    } finally {
      for (const name of Object.keys(variables)) delete process.env[name];
    }
  };
  for (const yes of ["true", "1", "yes", "TRUE", "Yes"]) {
    assert.deepEqual(parse({ TEST_SERVER_INSECURE: yes }), {
      insecure: true,
      streaming: true,
      sound: true,
    });
    assert.equal(parse({ TEST_SERVER_NO_PAGE: yes }).page, false);
    assert.equal(parse({ TEST_SERVER_PAGE: yes, TEST_SERVER_NO_PAGE: "no" }).page, true);
    assert.equal(parse({ TEST_SERVER_STREAMING: yes }).streaming, true);
    assert.equal(parse({ TEST_SERVER_COLOUR: yes }).colour, true);
  }
  for (const no of ["false", "0", "no", "False", "NO"]) {
    assert.equal(parse({ TEST_SERVER_INSECURE: no }).insecure, undefined);
    assert.equal(parse({ TEST_SERVER_STREAMING: no }).streaming, false);
    assert.equal(parse({ TEST_SERVER_COLOUR: no }).colour, false);
    assert.equal(parse({ TEST_SERVER_NO_PAGE: no }).page, undefined);
    assert.equal(parse({ TEST_SERVER_PAGE: no }).page, false);
    assert.equal(parse({ TEST_SERVER_SOUND: no }).sound, false);
  }
  assert.equal(parse({ TEST_SERVER_INSECURE: "no" }, ["--insecure"]).insecure, true);
  assert.equal(parse({ TEST_SERVER_STREAMING: "yes" }, ["--no-streaming"]).streaming, false);
  for (const wrong of ["", " ", "maybe", "on", "2"]) {
    for (const variable of ["INSECURE", "STREAMING", "COLOUR"]) {
      assert.throws(
        () => parse({ [`TEST_SERVER_${variable}`]: wrong }),
        new RegExp(
          `value '${wrong}' from env 'TEST_SERVER_${variable}' is invalid.*true, false, 1, 0, yes or no`,
        ),
      );
    }
  }
});
