import assert from "node:assert/strict";
import { runPingpong } from "./pingpong_subject.ts";
import { runSigner } from "./signer_subject.ts";
import { drawSwarm, sendFaults } from "./swarm.ts";
import { type SubjectName, subjects, sweepSubject } from "./sweep.ts";

for (const subject of Object.keys(subjects) as SubjectName[]) {
  Deno.test(`${subject}: a seed is a run, to the byte, and another seed another run`, async () => {
    const [first, again, other] = [
      await subjects[subject]({ seed: 3 }),
      await subjects[subject]({ seed: 3 }),
      await subjects[subject]({ seed: 4 }),
    ];
    assert.deepEqual(again.log, first.log);
    assert.notDeepEqual(other.log, first.log);
  });

  Deno.test(`${subject}: whatever fails, it holds, and all that can fail does`, async () => {
    const violations: string[] = [];
    const { failed, unreached } = await sweepSubject({
      subject,
      from: 1,
      to: 60,
      onRun: ({ seed, violations: found }) => {
        for (const violation of found) violations.push(`seed ${seed}: ${violation}`);
      },
    });
    assert.deepEqual(violations, []);
    assert.equal(failed, 0);
    assert.deepEqual(unreached, []);
  });
}

Deno.test("signer: an answer that is another request's is noticed", async () => {
  const { violations } = await runSigner({
    seed: 5,
    tamper: (answer, number) =>
      number === 3 ? { ...answer, payload: btoa("x".repeat(64)) } : answer,
  });
  assert.ok(violations.some((one) => one.startsWith("request 3: its answer is bad-signature")));
});

Deno.test("pingpong: pings that never come back over a stream are noticed", async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { violations, log } = await runPingpong({ seed, pings: 1_000, staysBroken: true });
    if (!log.some((line) => line.endsWith("mode-bidi"))) continue;
    assert.ok(violations.some((one) => / is lost$/.test(one)), `seed ${seed}`);
    return;
  }
  assert.fail("no seed has taken a stream");
});

Deno.test("pingpong: answers of a client whose farewell was lost with its line may wait", async () => {
  for (const seed of [3671, 4679]) {
    const { violations, log } = await runPingpong({ seed });
    assert.deepEqual(violations, [], `seed ${seed}`);
    assert.ok(log.some((line) => / crash /.test(line)), `seed ${seed}`);
  }
});

Deno.test("each kind of fault is absent in half of the seeds", () => {
  const swarms = Array.from({ length: 1_000 }, (_, seed) => drawSwarm(seed));
  for (const fault of sendFaults) {
    const absent = swarms.filter(({ rates }) => rates[fault] === 0).length;
    assert.ok(absent > 430 && absent < 570, `${fault}: ${absent} of 1000`);
  }
});
