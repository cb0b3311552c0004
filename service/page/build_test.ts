import assert from "node:assert/strict";
import { brotliDecompressSync } from "node:zlib";
import { StartError } from "../life_cycle.ts";
import { testWith } from "../testing/permissions.ts";
import { buildPage, findPages } from "./build.ts";
import { pageEmbedding, pagesOf } from "./built_pages.ts";
import { type PageFile, pageFileUrl } from "./page_file.ts";

function testBuild(name: string, run: () => Promise<void>): void {
  testWith(["read", "write", "run", "env"], name, run, {
    // esbuild's stop() kills its program, and nobody can wait until that has gone:
    // the child itself,
    sanitizeResources: false,
    // and the wait for its end.
    sanitizeOps: false,
  });
}

async function readPage(program: string): Promise<PageFile> {
  return JSON.parse(await Deno.readTextFile(pageFileUrl(program)));
}

testBuild("findPages() finds the folders that have a page", async () => {
  const pages = await findPages();
  assert.ok(pages.includes("console"));
  assert.ok(pages.includes("simulator-simulation"));
  assert.ok(!pages.includes("service"));
  assert.deepEqual(await pagesOf("simulator"), ["simulator", "simulator-simulation"]);
  assert.deepEqual(await pagesOf("service"), []);
});

testBuild(
  "buildPage() leaves an up-to-date page alone and builds one whose source has changed",
  async () => {
    await buildPage("console");
    assert.equal((await buildPage("console")).built, false);

    const page = await readPage("console");
    assert.ok("console/page/main.tsx" in page.inputs);
    assert.ok("service/page/kit.css" in page.inputs);
    assert.ok("deno.lock" in page.inputs);
    // As if the source had been another one when the page was built.
    page.inputs["service/page/kit.css"] = "0".repeat(64);
    await Deno.writeTextFile(pageFileUrl("console"), JSON.stringify(page));
    assert.equal((await buildPage("console")).built, true);
    assert.equal((await buildPage("console")).built, false);
  },
);

testBuild("buildPage() names its files by their content and nothing inline", async () => {
  await buildPage("console");
  const { html, assets } = await readPage("console");
  for (const path of Object.keys(assets)) {
    assert.match(path, /^assets\/(main|style|theme|icon|streams)-[A-Z0-9]{8}\.(js|css|svg)$/);
    assert.ok(html.includes(`"/${path}"`), path);
  }
  assert.doesNotMatch(html, /<script>|<style|style=| on\w+=/);
});

testBuild("buildPage() builds a page that requests nothing from other origins", async () => {
  await buildPage("console");
  const { assets } = await readPage("console");
  for (const [path, { brotli }] of Object.entries(assets)) {
    const text = brotliDecompressSync(Uint8Array.fromBase64(brotli)).toString();
    // The names of SVG's and MathML's namespaces and an example endpoint are no addresses to fetch.
    const urls = text.match(/https?:\/\/[\w.-]+/g) ?? [];
    const foreign = urls.filter((url) => !/\/\/(www\.w3\.org|127\.0\.0\.1)$/.test(url));
    assert.deepEqual(foreign, [], path);
  }
});

testBuild("buildPage() and pageEmbedding() refuse a program without a page", async () => {
  await assert.rejects(buildPage("service"), StartError);
  await assert.rejects(pageEmbedding(["service"]), /deno task pages/);
});

testBuild("buildPage() builds a page's worker and says where it is", async () => {
  await buildPage("simulator-simulation");
  const { html, assets } = await readPage("simulator-simulation");
  const [, path] = /<meta name="orrery-worker" content="\/([^"]+)">/.exec(html) ?? [];
  assert.ok(path !== undefined && path in assets, html);
  assert.match(html, /<title>Simulation · Orrery<\/title>/);
});

testBuild("pageEmbedding() makes a line that carries the page", async () => {
  await buildPage("console");
  const line = await pageEmbedding(["console"]);
  const before = globalThis.ORRERY_PAGES;
  try {
    new Function(line)();
    const carried: PageFile = globalThis.ORRERY_PAGES!.console!;
    assert.deepEqual(carried, { ...await readPage("console"), inputs: {} });
  } finally {
    globalThis.ORRERY_PAGES = before;
  }
});
