/**
 * Makes a container image without a builder or a registry: one layer with the given files, as an
 * OCI image layout (OCI image specification 1.1, `image-layout.md`) in a tar archive (POSIX ustar).
 *
 * @module
 */

import { createHash } from "node:crypto";

/** An image to be made. */
export interface OciImage {
  /** Its full name with a tag: `orrery.invalid/hello:1`. */
  name: string;
  /** What its only layer holds: contents by path, without a leading slash. */
  files: Readonly<Record<string, Uint8Array>>;
}

/** The archive, ready to be imported; the same image makes the same bytes. */
export function ociArchive({ name, files }: OciImage): Uint8Array {
  const layer = tar(files);
  const config = json({
    architecture: ARCHITECTURES[Deno.build.arch],
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [digest(layer)] },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
  });
  const index = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [{
      ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
      // The specification's own annotation is for the tag alone; containerd reads this one.
      annotations: { "io.containerd.image.name": name },
    }],
  });
  return tar({
    "oci-layout": json({ imageLayoutVersion: "1.0.0" }),
    "index.json": index,
    ...Object.fromEntries([layer, config, manifest].map((blob) => [blobPath(blob), blob])),
  });
}

const ARCHITECTURES = { x86_64: "amd64", aarch64: "arm64" } as const;

/** Every part of a tar archive starts at a multiple of this. */
const BLOCK_BYTES = 512;

function descriptor(mediaType: string, blob: Uint8Array) {
  return { mediaType, digest: digest(blob), size: blob.length };
}

function digest(blob: Uint8Array): string {
  return `sha256:${createHash("sha256").update(blob).digest("hex")}`;
}

function blobPath(blob: Uint8Array): string {
  return `blobs/${digest(blob).replace(":", "/")}`;
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function tar(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const parts = Object.entries(files).flatMap(([path, contents]) => [
    tarHeader(path, contents.length),
    contents,
    new Uint8Array((BLOCK_BYTES - contents.length % BLOCK_BYTES) % BLOCK_BYTES),
  ]);
  // Two empty blocks end the archive.
  parts.push(new Uint8Array(2 * BLOCK_BYTES));
  const archive = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

/** A regular file of root, readable by all, dated 1970: ustar's fields at their offsets. */
function tarHeader(path: string, size: number): Uint8Array {
  const header = new Uint8Array(BLOCK_BYTES);
  const { written, read } = new TextEncoder().encodeInto(path, header.subarray(0, 100));
  if (read < path.length || written === 0) {
    throw new RangeError(`Cannot put '${path}' into an archive: give a path of 1 to 100 bytes`);
  }
  const put = (text: string, at: number) => new TextEncoder().encodeInto(text, header.subarray(at));
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  put(octal(0o755, 7), 100);
  put(octal(0, 7), 108);
  put(octal(0, 7), 116);
  put(octal(size, 11), 124);
  put(octal(0, 11), 136);
  // The checksum is reckoned as if its own field were blank.
  put(" ".repeat(8), 148);
  put("0", 156);
  put("ustar\x0000", 257);
  put(`${octal(header.reduce((sum, byte) => sum + byte, 0), 6)}\0 `, 148);
  return header;
}
