import * as esbuild from "esbuild";
const t = performance.now();
const r = await esbuild.build({
  absWorkingDir: "/work/main",
  entryPoints: ["/tmp/pg/main.tsx"],
  nodePaths: ["/work/main/node_modules"],
  bundle: true,
  minify: true,
  write: false,
  jsx: "automatic",
  jsxImportSource: "preact",
  format: "esm",
  metafile: true,
});
console.log(
  r.outputFiles.map((f) => f.contents.length),
  performance.now() - t,
  Object.keys(r.metafile.inputs),
);
await esbuild.stop();
