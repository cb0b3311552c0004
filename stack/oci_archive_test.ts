import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { testWith } from "../service/testing/permissions.ts";
import { ociArchive } from "./oci_archive.ts";

const image = {
  name: "orrery.invalid/hello:1",
  files: { "etc/hello": new TextEncoder().encode("hello\n"), "empty": new Uint8Array() },
};

testWith(
  ["run", "read", "write"],
  "ociArchive() makes what tar reads, digests that hold",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      await Deno.writeFile(`${folder}/image.tar`, ociArchive(image));
      assert.equal(
        await tar(["-x", "-v", "-f", "image.tar"], folder).then((names) =>
          names.split("\n").length
        ),
        6,
      );

      const index = JSON.parse(await Deno.readTextFile(`${folder}/index.json`));
      assert.equal(index.manifests[0].annotations["io.containerd.image.name"], image.name);
      const manifest = JSON.parse(new TextDecoder().decode(await blob(folder, index.manifests[0])));
      const config = JSON.parse(new TextDecoder().decode(await blob(folder, manifest.config)));
      await blob(folder, manifest.layers[0]);
      assert.deepEqual(config.rootfs.diff_ids, [manifest.layers[0].digest]);

      const layer = `blobs/${manifest.layers[0].digest.replace(":", "/")}`;
      assert.equal(await tar(["-t", "-f", layer], folder), "etc/hello\nempty\n");
      assert.equal(await tar(["-x", "-O", "-f", layer, "etc/hello"], folder), "hello\n");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test("ociArchive() makes the same bytes of the same image", () => {
  assert.deepEqual(ociArchive(image), ociArchive(image));
  assert.notDeepEqual(ociArchive(image), ociArchive({ ...image, name: "orrery.invalid/hello:2" }));
});

Deno.test("ociArchive() refuses a path that a tar header cannot hold", () => {
  for (const path of ["", "x".repeat(101), "é".repeat(51)]) {
    assert.throws(
      () => ociArchive({ ...image, files: { [path]: new Uint8Array() } }),
      /give a path of 1 to 100 bytes/,
    );
  }
});

/** A blob whose size and digest are as its descriptor says. */
async function blob(folder: string, descriptor: { digest: string; size: number }) {
  const bytes = await Deno.readFile(`${folder}/blobs/${descriptor.digest.replace(":", "/")}`);
  assert.equal(bytes.length, descriptor.size);
  assert.equal(`sha256:${createHash("sha256").update(bytes).digest("hex")}`, descriptor.digest);
  return bytes;
}

async function tar(args: string[], cwd: string): Promise<string> {
  const output = await new Deno.Command("tar", { args, cwd }).output();
  assert.ok(output.success, new TextDecoder().decode(output.stderr));
  return new TextDecoder().decode(output.stdout);
}
