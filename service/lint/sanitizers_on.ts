/**
 * A lint rule that holds the line of `deno.json`'s `test`: what a test opens it closes. Deno's
 * sanitizers and the limit in time are on for every test; who switches one off says why, beside it.
 *
 * @module
 */

/** Each with the value that needs no reason. */
const switches = new Map<string, unknown>([
  ["sanitizeOps", true],
  ["sanitizeResources", true],
  ["sanitizeExit", true],
]);

/** A reason is some words. */
const reasonPattern = /\w{2,}\W+\w{2,}\W+\w{2,}/;

/** The rule `orrery/sanitizers-on`. */
export const sanitizersOn: Deno.lint.Rule = {
  create(context) {
    const { text } = context.sourceCode;
    /** A comment that ends where the node begins, or stands behind it on its line. */
    const hasReason = ({ range: [begin, end] }: Deno.lint.Node) =>
      context.sourceCode.getAllComments().some(({ range, value }) =>
        reasonPattern.test(value) &&
        (range[1] <= begin
          ? /^\s*$/.test(text.slice(range[1], begin))
          : range[0] >= end && /^,?[ \t]*$/.test(text.slice(end, range[0])))
      );
    const report = (node: Deno.lint.Node, what: string) =>
      context.report({
        node,
        message: `'${what}' lets a test leave open what it has opened.`,
        hint: "Close it, or await its end; where that cannot be, say why in a comment beside it.",
      });
    return {
      Property(node) {
        const name = node.key.type === "Identifier"
          ? node.key.name
          : node.key.type === "Literal" && String(node.key.value);
        if (!name || !switches.has(name) || node.parent.type !== "ObjectExpression") return;
        const isOn = node.value.type === "Literal" && node.value.value === switches.get(name);
        if (!isOn && !hasReason(node)) report(node, name);
      },
      MemberExpression(node) {
        if (node.property.type !== "Identifier" || node.property.name !== "sanitizer") return;
        // For a whole file nobody could say which test it is for.
        if (/^Deno\s*\.\s*test\b/.test(text.slice(...node.range))) {
          report(node, "Deno.test.sanitizer");
        }
      },
    };
  },
};
