/**
 * A dotted name that may break after its dots, underscores and slashes, and nowhere inside a word.
 *
 * @module
 */

/** See the module. */
export function WithBreaks({ name }: { name: string }) {
  return (
    <>
      {name.split(/(?<=[._/])/).map((part, i) => (
        <span key={i}>
          {part}
          <wbr />
        </span>
      ))}
    </>
  );
}
