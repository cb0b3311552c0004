import assert from "node:assert/strict";
import process from "node:process";
import {
  commandLine,
  flag,
  parseByteCount,
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

testWith(["env"], "commandLine() takes a flag's variable for what it says", () => {
  const parse = (variables: Record<string, string>, args: string[] = []) => {
    Object.assign(process.env, variables);
    try {
      const command = testCommand()
        .addOption(flag("--insecure", "believe anyone"))
        .addOption(flag("--no-streaming", "all at once"))
        .addOption(flag("--colour", "with colours"))
        .addOption(flag("--no-colour", "without colours"));
      command.parse(args, { from: "user" });
      return command.opts();
    } finally {
      for (const name of Object.keys(variables)) delete process.env[name];
    }
  };
  for (const yes of ["true", "1", "yes", "TRUE", "Yes"]) {
    assert.deepEqual(parse({ TEST_SERVER_INSECURE: yes }), { insecure: true, streaming: true });
    assert.equal(parse({ TEST_SERVER_STREAMING: yes }).streaming, true);
    assert.equal(parse({ TEST_SERVER_COLOUR: yes }).colour, true);
  }
  for (const no of ["false", "0", "no", "False", "NO"]) {
    assert.equal(parse({ TEST_SERVER_INSECURE: no }).insecure, undefined);
    assert.equal(parse({ TEST_SERVER_STREAMING: no }).streaming, false);
    assert.equal(parse({ TEST_SERVER_COLOUR: no }).colour, false);
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
