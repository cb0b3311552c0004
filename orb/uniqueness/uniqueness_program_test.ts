import assert from "node:assert/strict";
import { ulid } from "ulid";
import { testWith } from "../../service/testing/permissions.ts";
import { type ReadyProgram, startReadyProgram } from "../../service/testing/program.ts";
import { asJpeg, asPng, type Distortion, photograph } from "./test_iris_captures.ts";

interface Answer {
  id: string;
  state: string;
  duplicateOf?: string;
  distance?: number;
  reason?: string;
}

async function signUp(
  { fields }: ReadyProgram,
  image: Uint8Array,
  mediaType: string,
): Promise<Answer> {
  const response = await fetch(`${fields.url}/v2/signups/${ulid()}`, {
    method: "PUT",
    headers: { "content-type": mediaType, "prefer": "wait=30" },
    body: image as Uint8Array<ArrayBuffer>,
  });
  const answer = await response.json();
  assert.equal(response.status, 202, JSON.stringify(answer));
  return answer;
}

const needs = ["net", "read", "write", "run", "env"] as const;

testWith(
  [...needs],
  "the server knows an iris again, by another photograph and after a restart",
  async () => {
    const folder = await Deno.makeTempDir();
    const start = (...flags: string[]) =>
      startReadyProgram("orb/server.ts", [
        ...["--orb-api-port", "0", "--data-dir", folder, "--uniqueness", "iris"],
        ...flags,
      ]);
    const again = (capture: number, change: Distortion = {}) =>
      asJpeg(photograph(1, { capture, scale: .5, ...change }), 60);
    try {
      let first: Answer;
      {
        await using server = await start();
        first = await signUp(server, asPng(photograph(1, { scale: .5 })), "image/png");
        assert.equal(first.state, "accepted");
        const second = await signUp(server, again(5, { rotation: 6, noise: 6 }), "image/jpeg");
        assert.deepEqual([second.state, second.duplicateOf], ["duplicate", first.id]);
        assert.ok(second.distance! > 0 && second.distance! < .32, `${second.distance}`);
        const other = await signUp(server, asPng(photograph(2, { scale: .5 })), "image/png");
        assert.equal(other.state, "accepted");
        const none = Uint8Array.from({ length: 128 * 128 }, (_, at) => at % 9 * 20);
        const refused = await signUp(
          server,
          asPng({ width: 128, height: 128, levels: none }),
          "image/png",
        );
        assert.equal(refused.state, "rejected");
        assert.match(refused.reason!, /No iris is seen/);
      }
      await using server = await start("--uniqueness-threads", "2");
      const third = await signUp(server, again(9, { blur: 1.5 }), "image/jpeg");
      assert.deepEqual([third.state, third.duplicateOf], ["duplicate", first.id]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testWith(
  [...needs],
  "a threshold that the mode does not have is a message and an end",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      await assert.rejects(
        startReadyProgram("orb/server.ts", [
          ...["--orb-api-port", "0", "--data-dir", folder],
          ...["--uniqueness", "iris", "--uniqueness-threshold", "8"],
        ]),
        /the threshold of 'iris' must be from 0 to 0.45: current value is 8/,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
