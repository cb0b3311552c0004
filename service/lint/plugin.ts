/**
 * The project's lint rules. `orrery/ambient-world` holds the line of `world.ts`: no module takes time
 * or chance from the platform. `orrery/sanitizers-on` stands in `sanitizers_on.ts`.
 *
 * Free of it: entry files (they have `import.meta.main`), tests and what serves only them, pages,
 * benchmarks, and the tools in `stack/` and `e2e/`, which no other code runs inside of.
 *
 * @module
 */
import { sanitizersOn } from "./sanitizers_on.ts";

/** Paths that may, each with its reason. */
const exceptions: readonly (readonly [path: RegExp, reason: string])[] = [
  [/\/service\/world\/world\.ts$/, "it is the real world"],
  [/_test\.ts$|_suite\.ts$|\/test_[^/]+\.ts$|\/service\/testing\//, "tests"],
  [/\/(\w+_)?page\//, "pages run in a browser"],
  [/\/(bench|e2e|stack)\//, "tools that run in a process of their own"],
];

/** Calls that read a clock, set a timer or draw by chance, as `object.member` or a bare name. */
const ambient = new Map<string, string>([
  ["Date.now", "world.nowMs()"],
  ["performance.now", "world.monotonicMs()"],
  ["Math.random", "world.random()"],
  ["crypto.randomUUID", "world.randomUuid()"],
  ["crypto.getRandomValues", "world.randomBytes()"],
  ["AbortSignal.timeout", "timeoutSignal() of service/resilience.ts"],
  ["setTimeout", "world.setTimeout()"],
  ["setInterval", "world.setInterval()"],
  ["globalThis.setTimeout", "world.setTimeout()"],
  ["globalThis.setInterval", "world.setInterval()"],
]);

/** The same under the names of `node:` modules. */
const ambientImports = new Map<string, readonly string[]>([
  ["node:timers", ["setTimeout", "setInterval"]],
  ["node:timers/promises", ["setTimeout", "setInterval"]],
  ["node:crypto", ["randomUUID", "randomBytes", "randomInt", "getRandomValues"]],
  ["node:perf_hooks", ["performance"]],
]);

function isExempt(filename: string, text: string): boolean {
  return exceptions.some(([path]) => path.test(filename.replaceAll("\\", "/"))) ||
    text.includes("import.meta.main");
}

/** The plugin, for `lint.plugins` in `deno.json`. */
const plugin: Deno.lint.Plugin = {
  name: "orrery",
  rules: {
    "sanitizers-on": sanitizersOn,
    "ambient-world": {
      create(context) {
        if (isExempt(context.filename, context.sourceCode.text)) return {};
        const report = (node: Deno.lint.Node, what: string, instead: string) =>
          context.report({
            node,
            message: `'${what}' takes time or chance from the platform.`,
            hint: `Take a World (service/world/world.ts) and use ${instead}.`,
          });
        return {
          MemberExpression(node) {
            if (node.object.type !== "Identifier" || node.property.type !== "Identifier") return;
            const name = `${node.object.name}.${node.property.name}`;
            const instead = ambient.get(name);
            if (instead) report(node, name, instead);
          },
          CallExpression(node) {
            if (node.callee.type !== "Identifier") return;
            if (node.callee.name === "Date") report(node, "Date()", "world.nowMs()");
            const instead = ambient.get(node.callee.name);
            if (instead) report(node, node.callee.name, instead);
          },
          NewExpression(node) {
            if (node.callee.type !== "Identifier" || node.callee.name !== "Date") return;
            if (node.arguments.length === 0) report(node, "new Date()", "world.nowMs()");
          },
          ImportDeclaration(node) {
            const names = ambientImports.get(node.source.value);
            for (const one of names ? node.specifiers : []) {
              if (one.type !== "ImportSpecifier" || one.imported.type !== "Identifier") continue;
              if (names!.includes(one.imported.name)) {
                report(one, `${one.imported.name} of ${node.source.value}`, "its methods");
              }
            }
          },
        };
      },
    },
  },
};

export default plugin;
