import assert from "node:assert/strict";
import { ClaimedSignups, maxClaimedAhead } from "./claimed_signups.ts";
import type { SignupRecord } from "./signup_record.ts";

const anyRelease = () => assert.fail("nothing is too old");

function records(count: number): SignupRecord[] {
  return Array.from({ length: count }, (_, index) => ({ id: `${index}` }) as SignupRecord);
}

Deno.test("ClaimedSignups wants more with each claim while its workers run out of signups", async () => {
  const claimed = new ClaimedSignups();
  const wanted: number[] = [];
  for (let claim = 0; claim < 7; claim++) {
    wanted.push(claimed.wanted(8));
    await claimed.fill(() => Promise.resolve(records(wanted.at(-1)!)), () => 0);
    while (claimed.begin(0, anyRelease) !== undefined);
  }
  assert.deepEqual(wanted, [8, 8, 24, 24, 56, 56, maxClaimedAhead]);
});

Deno.test("ClaimedSignups wants no more ahead than are begun between two claims", async () => {
  const claimed = new ClaimedSignups();
  await claimed.fill(() => Promise.resolve(records(30)), () => 0);
  for (let begun = 0; begun < 3; begun++) claimed.begin(0, anyRelease);
  await claimed.fill(() => Promise.resolve([]), () => 0);
  assert.equal(claimed.size, 27);
  assert.ok(claimed.wanted(0) <= 0, "27 wait, and three were begun");
  while (claimed.size > 1) claimed.begin(0, anyRelease);
  assert.equal(claimed.wanted(0), 2);
});

Deno.test("ClaimedSignups gives back what has no time left, by the time before its claim", async () => {
  const claimed = new ClaimedSignups();
  let nowMs = 1_000;
  const claim = () => {
    nowMs += 500; // It is on its way for so long.
    return Promise.resolve(records(2));
  };
  await claimed.fill(claim, () => nowMs);
  const released: SignupRecord[] = [];
  assert.equal(claimed.begin(1_000, (one) => released.push(one))?.id, "0");
  assert.equal(claimed.begin(1_001, (one) => released.push(one)), undefined);
  assert.deepEqual(released.map(({ id }) => id), ["1"]);
  assert.equal(claimed.size, 0);
});
