import assert from "node:assert/strict";
import { askConsole, readProgramList } from "../service/program_list.ts";
import { testWith } from "../service/testing/permissions.ts";
import { makePlace } from "./place.ts";
import { ProgramListFile } from "./program_list_file.ts";

const ports = new Map([["orb-server/api", 4242]]);
const options = { orbs: 3, signupInterval: 2_000 };

testWith(
  ["read", "write"],
  "the list says how each program is, and is never half written",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/programs.json`;
      assert.deepEqual(await readProgramList(path), [], "before anything was written");
      let nowMs = 1;
      const list = new ProgramListFile({
        path,
        place: makePlace(options, ports, folder, false),
        world: { nowMs: () => nowMs++ },
        onError: (error) => assert.fail(String(error)),
      });
      list.set("orb-server", "starting");
      list.set("orb-client", "up");
      list.set("orb-server", "up");
      list.set("orb-server", "down", "by SIGKILL");
      await list.written();
      const common = { name: "orb-server", what: "device signup, and the fleet's page" };
      assert.deepEqual(await readProgramList(path), [
        {
          ...common,
          page: "http://127.0.0.1:4242",
          state: "down",
          sinceMs: 4,
          ended: "by SIGKILL",
        },
        {
          name: "orb-client",
          what: "a fleet of 3 orbs that sign up irises",
          state: "up",
          sinceMs: 2,
        },
      ]);
      list.set("orb-server", "up");
      await list.written();
      const [again] = await readProgramList(path);
      assert.deepEqual([again?.state, again?.ended], ["up", "by SIGKILL"]);
      await Deno.writeTextFile(path, '[{"na');
      assert.deepEqual(await readProgramList(path), []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testWith(
  ["read", "write"],
  "a list that cannot be written is said, and costs nothing else",
  async () => {
    const errors: unknown[] = [];
    const list = new ProgramListFile({
      path: "/proc/none/programs.json",
      place: makePlace(options, ports, "/tmp", false),
      world: { nowMs: () => 0 },
      onError: (error) => errors.push(error),
    });
    list.set("orb-client", "up");
    await list.written();
    assert.equal(errors.length, 1);
  },
);

testWith(
  ["net"],
  "a console that does not answer is down; without one nothing is known",
  async () => {
    assert.deepEqual(await askConsole(undefined), { programs: [] });
    const { console: url, programs } = await askConsole("http://127.0.0.1:1");
    assert.equal(url, "http://127.0.0.1:1");
    assert.deepEqual(programs.map(({ name, state }) => [name, state]), [["console", "down"]]);
  },
);
