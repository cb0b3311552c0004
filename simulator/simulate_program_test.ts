import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../service/testing/permissions.ts";
import { startArguments } from "../service/testing/program.ts";

const entry = new URL("./simulate.ts", import.meta.url);

async function simulate(
  ...args: string[]
): Promise<{ code: number; lines: string[]; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: await startArguments(entry, args),
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return {
    code,
    lines: text.decode(stdout).trimEnd().split("\n"),
    err: text.decode(stderr),
  };
}

/** A seed in which plant 11 loses something. */
const failing = ["--seed", "2", "--plant", "11", "--orders", "24"];

testWith(
  ["env", "read", "run", "write"],
  "run prints options first, then events in columns, and the log's hash last",
  async () => {
    const { code, lines } = await simulate("run", "--seed", "7", "--orders", "5");
    assert.equal(code, 0);
    assert.match(lines[0]!, /^options \{"seed":7,/);
    assert.match(lines[1]!, /^ {0,10}\d{1,11} \S+ +\S+/);
    assert.match(lines.at(-1)!, /^[0-9a-f]{64}$/);
    const again = await simulate("run", "--seed", "7", "--orders", "5", "--quiet");
    assert.equal(again.lines.at(-1), lines.at(-1));
  },
);

testWith(
  ["env", "read", "run", "write"],
  "run and sweep take options from a file, flags weigh more, and what is none is refused",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const file = join(folder, "options.json");
      const orders = ["run", "--seed", "7", "--options", file];
      await Deno.writeTextFile(file, '{"orders":3,"keys":2,"faults":{"2":{"refuse":1}}}');
      const run = await simulate(...orders, "--orders", "4");
      assert.equal(run.code, 0, run.err);
      const options = JSON.parse(run.lines[0]!.slice("options ".length));
      assert.deepEqual([options.orders, options.keys], [4, 2]);
      assert.deepEqual(options.faults["2"], { refuse: 1 });
      assert.ok(run.lines.some((line) => / fault-2 .* refuse$/.test(line)));
      const failing = await simulate(
        "sweep",
        "--seeds",
        "1..9",
        "--plant",
        "11",
        "--options",
        file,
      );
      assert.equal(failing.code, 1, failing.err);
      assert.ok(failing.lines.some((line) => line.endsWith(`--plant 11 --options ${file}`)));
      for (const [text, words] of [["{", "JSON"], ['{"order":3}', "no option 'order'"]] as const) {
        await Deno.writeTextFile(file, text);
        const { code, err } = await simulate(...orders);
        assert.equal(code, 3);
        assert.ok(err.includes(file) && err.includes(words), err);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testWith(
  ["env", "read", "run", "write"],
  "run --json prints a line of JSON for each thing, and the same hash last",
  async () => {
    const { code, lines } = await simulate("run", "--seed", "7", "--orders", "5", "--json");
    assert.equal(code, 0);
    const [options, ...events] = lines.slice(0, -1).map((line) => JSON.parse(line));
    assert.equal(options.options.orders, 5);
    assert.equal(events.at(-1).verdict, "true");
    assert.ok(events.some(({ event }) => event === "effect"));
    assert.match(lines.at(-1)!, /^[0-9a-f]{64}$/);
  },
);

testWith(
  ["env", "read", "run", "write"],
  "run --export prints a run in another form alone",
  async () => {
    const heads = { shiviz: /^\S+ \{"/, mermaid: /^sequenceDiagram$/, svg: /^<svg / };
    for (const [form, head] of Object.entries(heads)) {
      const { code, lines } = await simulate(
        "run",
        "--seed",
        "7",
        "--orders",
        "2",
        "--export",
        form,
      );
      assert.equal(code, 0);
      assert.match(lines[0]!, head);
    }
  },
);

testWith(
  ["env", "read", "run", "write", "net"],
  "run and replay send their spans where --otlp-endpoint says, or say why they cannot",
  async () => {
    const paths: string[] = [];
    let status = 200;
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        paths.push(new URL(request.url).pathname);
        await request.bytes();
        return new Response(null, { status });
      },
    );
    const endpoint = ["--otlp-endpoint", `http://127.0.0.1:${server.addr.port}`];
    const folder = await Deno.makeTempDir();
    try {
      const record = join(folder, "run.json");
      const run = ["run", "--seed", "7", "--orders", "5", "--quiet", "--record", record];
      const [alone, sent] = [await simulate(...run), await simulate(...run, ...endpoint)];
      assert.equal(sent.code, 0, sent.err);
      assert.match(sent.err, /^simulate: \d{2,} spans sent to http:/);
      assert.deepEqual(sent.lines, alone.lines);
      assert.match((await simulate("replay", record, "--quiet", ...endpoint)).err, /spans sent/);
      assert.deepEqual(paths, ["/v1/traces", "/v1/traces"]);
      status = 400;
      const refused = await simulate(...run, ...endpoint);
      assert.equal(refused.code, 3);
      assert.match(refused.err, /cannot be delivered to http:/);
      assert.deepEqual(refused.lines, alone.lines);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testWith(
  ["env", "read", "run", "write"],
  "run --max-events stops a run before it is judged: unknown, exit code 2",
  async () => {
    const { code, lines } = await simulate(
      ...["run", "--seed", "7", "--orders", "5", "--max-events", "50", "--quiet"],
    );
    assert.equal(code, 2);
    assert.match(lines.at(-2)!, /^verdict unknown: 50 events, .* stopped before its end$/);
    assert.match(lines.at(-1)!, /^[0-9a-f]{64}$/);
  },
);

testWith(["env", "read", "run", "write"], "run --check-determinism runs twice", async () => {
  const { code, lines } = await simulate(
    "run",
    "--seed",
    "7",
    "--orders",
    "5",
    "--check-determinism",
  );
  assert.equal(code, 0);
  assert.match(lines[0]!, /^the same \d+ lines twice$/);
});

testWith(
  ["env", "read", "run", "write"],
  "a failure says how to see it again, and can be recorded, shrunk and replayed",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const [whole, small] = [join(folder, "whole.json"), join(folder, "small.json")];
      const failed = await simulate("run", ...failing, "--quiet", "--record", whole);
      assert.equal(failed.code, 1);
      assert.ok(failed.lines.some((line) => line.startsWith("SAFETY no-lost-effect")));
      const command = failed.lines.find((line) => line.startsWith("again with: "))!;
      assert.equal(command, `again with: deno task simulate run ${failing.join(" ")}`);
      const replayed = await simulate("replay", whole, "--quiet");
      assert.equal(replayed.code, 1);
      assert.equal(replayed.lines.at(-1), failed.lines.at(-1));
      const shrunk = await simulate("shrink", whole, "--output", small);
      assert.equal(shrunk.code, 0);
      assert.match(
        shrunk.err,
        /^\d+ decisions of 24 orders → \d decisions of \d orders, \d+ executions/,
      );
      const again = await simulate("replay", small, "--quiet");
      assert.equal(again.code, 1);
      const why = await simulate("why", small, "--instants", "4", "--rolls", "3");
      assert.equal(why.code, 0);
      assert.ok(
        why.lines.some((line) => line.startsWith("no-lost-effect: most is decided between")),
      );
      assert.ok(again.lines.some((line) => line.startsWith("SAFETY no-lost-effect")));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testWith(
  ["env", "read", "run", "write"],
  "sweep uses workers, names failing seeds, and shards are parts of the whole",
  async () => {
    const { code, lines } = await simulate("sweep", "--seeds", "1..60", "--workers", "2");
    assert.equal(code, 0, lines.join("\n"));
    assert.match(lines[0]!, /^60 seeds, 0 failed, in /);
    const sweep = ["sweep", "--seeds", "1..20", "--plant", "11", "--json"];
    const seedsOf = async (...args: string[]) => {
      const { code, lines } = await simulate(...sweep, ...args);
      assert.equal(code, 1);
      const failures = lines.slice(0, -1).map((line) => JSON.parse(line));
      for (const { seed, again } of failures) {
        assert.equal(again, `deno task simulate run --seed ${seed} --plant 11`);
      }
      const seeds = failures.map(({ seed }) => seed as number);
      return seeds.sort((a, b) => a - b);
    };
    const whole = await seedsOf();
    const parts = [...await seedsOf("--shard", "0/2"), ...await seedsOf("--shard", "1/2")];
    assert.deepEqual(parts.sort((a, b) => a - b), whole);
  },
);

testWith(
  ["env", "read", "run", "write"],
  "explore covers every single fault, and keeps the smallest failure",
  async () => {
    const fine = await simulate("explore", "--faults", "1", "--orders", "1");
    assert.equal(fine.code, 0, fine.lines.join("\n"));
    assert.match(fine.lines[0]!, /^\d+ calls: \d+ single faults and 0 pairs covered, 0 failed$/);
    const file = await Deno.makeTempFile();
    try {
      const explored = ["explore", "--faults", "1", "--orders", "2", "--plant", "14"];
      const failed = await simulate(...explored, "--record", file);
      assert.equal(failed.code, 1);
      assert.match(failed.lines[0]!, /^fault-2 o1 refuse: o1: number 1 of/);
      assert.equal((await simulate("replay", file, "--quiet")).code, 1);
    } finally {
      await Deno.remove(file);
    }
  },
);

testWith(["env", "read", "run", "write"], "wrong use exits with 3", async () => {
  for (
    const args of [
      ["run"],
      ["run", "--seed", "x"],
      ["run", "--seed", "1", "--otlp-endpoint", "console"],
      ["run", "--seed", "1", "--otlp-endpoint", "http://127.0.0.1:1", "--otlp-epoch", "soon"],
      ["run", "--seed", "1", "--otlp-endpoint", "http://127.0.0.1:1", "--check-determinism"],
      ["run", "--seed", "1", "--plant", "25"],
      ["sweep", "--seeds", "5..1"],
      ["sweep", "--seeds", "1..5", "--shard", "2/2"],
      ["replay", "/nowhere.json"],
      ["unknown"],
    ]
  ) {
    const { code, err } = await simulate(...args);
    assert.equal(code, 3, args.join(" "));
    assert.notEqual(err, "");
  }
});
