import assert from "node:assert/strict";
import { InvalidArgumentError } from "../../service/command_line.ts";
import { type Fault, FaultsError, isPart, parseFaultFlag, parseFaults } from "./faults.ts";

const refuse = { point: 2, kind: "refuse", probability: 0.3 } as const;

Deno.test("parseFaults() takes each kind of fault as it is documented", () => {
  const faults: Fault[] = [
    { ...refuse, minDurationMs: 5_000 },
    { point: 8, kind: "outage", probability: 0.1, direction: "back" },
    { point: 1, kind: "delay", probability: 1, delayMs: 200 },
    { kind: "crash", part: "relay-1", probability: 0.5, minDurationMs: 100 },
    { kind: "pause", part: "*", probability: 0 },
    { kind: "clock-skew", part: "lambda-2.1", skewMs: -3_000 },
    { kind: "poison", probability: 0.1 },
    { kind: "slow-consumer", probability: 0.1, minDurationMs: 4_000 },
    { kind: "full-queue", topic: "orders", capacity: 0 },
  ];
  assert.deepEqual(parseFaults(JSON.stringify({ faults })), faults);
});

Deno.test("parseFaults() says what is wrong, and where", () => {
  const refused: [json: unknown, message: RegExp][] = [
    ["{", /^It is not JSON/],
    [[], /expected object/],
    [{ fault: [] }, /faults: .*array.*"fault"/],
    [{ faults: [refuse, { ...refuse, probability: 2 }] }, /^faults\[1\]\.probability: .*<=1/],
    [{ faults: [{ ...refuse, point: 9 }] }, /^faults\[0\]\.point: .*<=8/],
    [{ faults: [{ ...refuse, kind: "explode" }] }, /^faults\[0\]\.kind: /],
    [{ faults: [{ ...refuse, probabilty: 1 }] }, /^faults\[0\]: .*"probabilty"/],
    [{ faults: [{ ...refuse, minDurationMs: "5s" }] }, /^faults\[0\]\.minDurationMs: .*number/],
    [
      { faults: [{ kind: "crash", part: "nobody", probability: 1 }] },
      /^faults\[0\]\.part: Give a part/,
    ],
    [{ faults: [{ ...refuse, direction: "there" }] }, /^faults\[0\]\.direction: 'refuse' has none/],
    [{ faults: [{ ...refuse, delayMs: 1 }] }, /^faults\[0\]\.delayMs: 'refuse' has none/],
    [
      { faults: [refuse, { ...refuse, kind: "time-out", probability: 0.8 }] },
      /^faults\[1\]\.probability: those of point 2 are 1\.1 together/,
    ],
  ];
  for (const [json, message] of refused) {
    const text = typeof json === "string" ? json : JSON.stringify(json);
    assert.throws(() => parseFaults(text), (error: Error) => {
      assert.ok(error instanceof FaultsError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("parseFaultFlag() takes pairs, one fault each time", () => {
  const one = parseFaultFlag("point=2,kind=refuse,probability=0.3,min-duration=5s");
  const two = parseFaultFlag("kind=clock-skew, part=relay-1.0, skew=-2s", one);
  assert.deepEqual(two, [
    { ...refuse, minDurationMs: 5_000 },
    { kind: "clock-skew", part: "relay-1.0", skewMs: -2_000 },
  ]);
});

Deno.test("parseFaultFlag() says what is wrong", () => {
  for (
    const [text, message] of [
      ["refuse", /Give 'name=value' pairs/],
      ["pint=2", /There is no 'pint': there are point, kind/],
      ["point=2,kind=refuse,probability=often", /^probability: /],
      ["point=2,kind=refuse", /^probability: /],
      ["point=2,kind=refuse,probability=1,min-duration=soon", /Give a duration such as 30s/],
    ] as const
  ) {
    assert.throws(() => parseFaultFlag(text), (error: Error) => {
      assert.ok(error instanceof InvalidArgumentError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("isPart() knows one part, all instances of one, and all", () => {
  assert.ok(isPart("relay-1.0", "relay-1.0") && isPart("relay-1", "relay-1.2") && isPart("*", "x"));
  assert.ok(!isPart("relay-1", "relay-2.0") && !isPart("relay-1.0", "relay-1.1"));
});
