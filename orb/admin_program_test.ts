import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { ulid } from "ulid";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";

import { asJpeg, asPng, photograph } from "./uniqueness/test_iris_captures.ts";
import { openImageFolder } from "./stores/image_folder.ts";
import { damageImage } from "./stores/test_image_damage.ts";
import { statusOf } from "../service/testing/status.ts";

const server = new URL("./server.ts", import.meta.url);
const admin = new URL("./admin.ts", import.meta.url);

/** Runs the tool; gives what it printed. */
async function run(...args: string[]): Promise<{ code: number; lines: readonly string[] }> {
  await using program = await startProgram(admin, args);
  const { code } = await program.status;
  return { code, lines: program.lines };
}

async function startServer(
  dataDir: string,
  ...more: string[]
): Promise<{ program: TestProgram; url: string }> {
  const args = ["--orb-api-port", "0", "--data-dir", dataDir, ...more];
  const program = await startProgram(server, args);
  const [, url] = await program.line(/The orb server is ready url=(\S+)/);
  return { program, url: url! };
}

async function signUp(url: string, id: string, image: string, wait = 20): Promise<string> {
  const response = await fetch(`${url}/v2/signups/${id}`, {
    method: "PUT",
    headers: { "content-type": "application/octet-stream", prefer: `wait=${wait}` },
    body: image,
  });
  assert.equal(response.status, 202);
  return (await response.json()).state;
}

function adminTest(name: string, test: (folder: string) => Promise<void>): void {
  testWith(["net", "read", "write", "run", "env"], name, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await test(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

adminTest("a backup of a server at work is restored elsewhere, whole", async (folder) => {
  const [from, to, file] = [`${folder}/from`, `${folder}/to`, `${folder}/orb.tar`];
  const ids = [ulid(), ulid(), ulid()];
  {
    const { program, url } = await startServer(from);
    await using _ = program;
    assert.equal(await signUp(url, ids[0]!, "one"), "accepted");
    assert.equal(await signUp(url, ids[1]!, "one"), "duplicate");
    const backup = await run("backup", file, "--data-dir", from);
    assert.equal(backup.code, 0, backup.lines.join("\n"));
    const counts = JSON.parse(backup.lines[0]!);
    assert.deepEqual([counts.tokens, counts.signups, counts.images], [1, 2, 1]);
    // What comes later is not in it, and the server goes on.
    assert.equal(await signUp(url, ids[2]!, "two"), "accepted");
    const again = await run("backup", file + "2", "--data-dir", from);
    assert.equal(JSON.parse(again.lines[0]!).signups, 3);
    const check = await run("check", "--data-dir", from);
    assert.equal(check.code, 0, check.lines.join("\n"));
    const intoUse = await run("restore", file, "--data-dir", from);
    assert.equal(intoUse.code, 1);
    assert.match(intoUse.lines.join("\n"), /another server uses it/);
  }
  const restore = await run("restore", file, "--data-dir", to);
  assert.equal(restore.code, 0, restore.lines.join("\n"));
  const twice = await run("restore", file, "--data-dir", to);
  assert.match(twice.lines.join("\n"), /there are records already/);
  const check = await run("check", "--data-dir", to);
  assert.deepEqual(JSON.parse(check.lines[0]!), {
    ...{ signups: 2, images: 1, faults: [], unusedImages: 0 },
  });
  const { program, url } = await startServer(to);
  await using _ = program;
  const first = await (await fetch(`${url}/v2/signups/${ids[0]}`)).json();
  assert.equal(first.state, "accepted");
  assert.equal(await statusOf(fetch(`${url}/v2/signups/${ids[2]}`)), 404);
  assert.equal(await signUp(url, ulid(), "one"), "duplicate");
});

adminTest("a backup that is cut off, changed or none restores nothing", async (folder) => {
  const [from, file] = [`${folder}/from`, `${folder}/orb.tar`];
  {
    const { program, url } = await startServer(from);
    await using _ = program;
    await signUp(url, ulid(), "one ".repeat(500));
  }
  assert.equal((await run("backup", file, "--data-dir", from)).code, 0);
  const whole = await Deno.readFile(file);
  const changed = whole.slice();
  changed[new TextDecoder("latin1").decode(whole).indexOf("one one")] = 0;
  const cases: [string, Uint8Array, RegExp][] = [
    ["cut", whole.slice(0, whole.length / 2), /cut off|broken/],
    ["changed", changed, /broken/],
    ["none", new TextEncoder().encode("no backup at all"), /no backup of an orb server/],
  ];
  for (const [name, bytes, reason] of cases) {
    await Deno.writeFile(`${folder}/${name}.tar`, bytes);
    const to = `${folder}/to-${name}`;
    const { code, lines } = await run("restore", `${folder}/${name}.tar`, "--data-dir", to);
    assert.equal(code, 1, name);
    assert.match(lines.join("\n"), reason, name);
    const list = await run("list", "--data-dir", to);
    assert.deepEqual(list, { code: 0, lines: [] }, name);
  }
});

adminTest(
  "check finds images that are missing and broken, and images of nobody",
  async (folder) => {
    const { program, url } = await startServer(folder);
    await using _ = program;
    const sha256Of = (image: string) => hash("sha256", image, "hex");
    for (const image of ["one", "two", "three"]) await signUp(url, ulid(), image);
    const images = await openImageFolder({ path: folder, cleans: false });
    await images.remove(sha256Of("one"), () => Promise.resolve(true));
    await damageImage(folder, sha256Of("two"), new TextEncoder().encode("TWO"));
    await images.put(sha256Of("four"), new TextEncoder().encode("four"));
    const { code, lines } = await run("check", "--data-dir", folder);
    assert.equal(code, 1);
    const report = JSON.parse(lines[0]!);
    assert.equal(report.faults.length, 2, lines[0]);
    assert.match(report.faults.join("\n"), /There is no image/);
    assert.match(report.faults.join("\n"), /other bytes/);
    assert.equal(report.unusedImages, 1);
    assert.equal((await run("backup", `${folder}/orb.tar`, "--data-dir", folder)).code, 1);
    assert.deepEqual([...Deno.readDirSync(folder)].filter(({ name }) => name.includes("tar")), []);
    const beside = await run("restore", `${folder}/tokens.sqlite`, "--data-dir", folder);
    assert.equal(beside.code, 1);
    assert.match(beside.lines.join("\n"), /another server uses it.*Stop the server/);
  },
);

adminTest("dead letters are listed, shown and requeued beside the server", async (folder) => {
  const id = ulid();
  {
    // Nobody decides here; then it looks as if five attempts had failed.
    const { program, url } = await startServer(folder, "--signup-workers", "0");
    await using _ = program;
    assert.equal(await signUp(url, id, "one", 0), "queued");
  }
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(`${folder}/tokens.sqlite`);
  database.exec(`UPDATE signups SET state = 'processing', attempts = 5`);
  database.exec(`UPDATE signup_counts SET signups = 0 WHERE state = 'queued'`);
  database.exec(`UPDATE signup_counts SET signups = 1 WHERE state = 'processing'`);
  database.close();

  const { program, url } = await startServer(folder);
  await using _ = program;
  await program.line(/The orb server is ready/);
  const dead = await (await fetch(`${url}/v2/signups/${id}`, { headers: { prefer: "wait=20" } }))
    .json();
  assert.equal(dead.state, "dead_letter");
  const list = await run("list", "--state", "dead_letter", "--data-dir", folder);
  assert.equal(list.lines.length, 1);
  assert.equal(JSON.parse(list.lines[0]!).id, id);
  const show = await run("show", id, "--image", `${folder}/image`, "--data-dir", folder);
  assert.match(JSON.parse(show.lines[0]!).reason, /no answer/);
  assert.equal(await Deno.readTextFile(`${folder}/image`), "one");
  const queue = await run("queue", "--data-dir", folder);
  assert.equal(JSON.parse(queue.lines[0]!).byState.dead_letter, 1);

  const requeue = await run("requeue", "--all", "--data-dir", folder);
  assert.deepEqual(JSON.parse(requeue.lines[0]!), { requeued: 1, of: 1 });
  const decided = await (await fetch(`${url}/v2/signups/${id}`, { headers: { prefer: "wait=20" } }))
    .json();
  assert.equal(decided.state, "accepted");
  const again = await run("requeue", id, "--data-dir", folder);
  assert.equal(again.code, 1);
  assert.match(again.lines.join("\n"), /no dead letter/);
});

adminTest(
  "images that were accepted by their bytes are compared by their looks afterwards",
  async (folder) => {
    const picture = photograph(1, { scale: .5 });
    const put = async (url: string, image: Uint8Array, mediaType: string) => {
      const response = await fetch(`${url}/v2/signups/${ulid()}`, {
        method: "PUT",
        headers: { "content-type": mediaType, prefer: "wait=20" },
        body: image as Uint8Array<ArrayBuffer>,
      });
      return await response.json();
    };
    {
      const { program, url } = await startServer(folder);
      await using _ = program;
      assert.equal((await put(url, asPng(picture), "image/png")).state, "accepted");
      assert.equal(await signUp(url, ulid(), "no picture"), "accepted");
    }
    const { program, url } = await startServer(folder, "--uniqueness", "perceptual");
    await using _ = program;
    const other = await put(url, asPng(photograph(2, { scale: .5 })), "image/png");
    const fingerprint = ["fingerprint", "--uniqueness", "perceptual", "--data-dir", folder];
    const { code, lines } = await run(...fingerprint);
    assert.equal(code, 0, lines.join("\n"));
    const known = other.state === "accepted" ? 1 : 0;
    assert.deepEqual(JSON.parse(lines.at(-1)!), { known, added: 1, left: 1 });
    assert.match(lines[0]!, /compared by its bytes only: The image is neither PNG nor JPEG/);
    // The server that is at work knows it from now on.
    const again = await put(url, asJpeg(picture, 80), "image/jpeg");
    assert.equal(again.state, "duplicate");
    const second = await run(...fingerprint);
    assert.deepEqual(JSON.parse(second.lines.at(-1)!), { known: known + 1, added: 0, left: 1 });
  },
);

adminTest("the tool says what it cannot open, and makes nothing there", async (folder) => {
  for (const command of [["queue"], ["check"], ["backup", `${folder}/orb.tar`]]) {
    const { code, lines } = await run(...command, "--data-dir", `${folder}/none`);
    assert.equal(code, 1);
    assert.match(lines.join("\n"), /Cannot open the records: .*--data-dir/);
  }
  assert.deepEqual([...Deno.readDirSync(folder)], []);
  assert.equal((await run("nonsense")).code, 2);
});
