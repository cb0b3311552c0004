/**
 * Arguments of commands that may begin with a dash, such as the id of a key in base64url: one of 64 of
 * them would be taken for a flag.
 *
 * @module
 */
import type { Command } from "@commander-js/extra-typings";

/**
 * Lets a command take for its argument what begins with a dash, is no flag, and has this form. Flags may
 * stand on either side of it, and `--` before it does no harm.
 *
 * @param form what the argument looks like; no flag does
 *
 * @example
 * ```ts
 * const retire = keys.command("retire").argument("<kid>", "the key's id");
 * mayBeginWithDash(retire, /^[\w-]{43}$/); // keys retire -Zc…k --data-dir /var/lib/signer
 * ```
 */
export function mayBeginWithDash(
  command: Pick<Command, "parseOptions">,
  form: RegExp,
): void {
  const parse = command.parseOptions.bind(command);
  command.parseOptions = function parseWithDashes(args) {
    const { operands, unknown } = parse(args);
    // Behind the first that it does not know commander takes nothing for an argument any more.
    const isFlag = (one: string) => one.startsWith("-") && !form.test(one);
    return unknown.some(isFlag)
      ? { operands, unknown }
      : { operands: [...operands, ...unknown], unknown: [] };
  };
}
