/**
 * A few words of which one is chosen: one stop of Tab.
 *
 * @module
 */
import { useRoving } from "./roving.ts";

/**
 * See the module.
 *
 * @example
 * ```tsx
 * <Choice label="Figure" words={["p50", "p95"]} chosen="p95" onChoose={setFigure} />
 * ```
 */
export function Choice<Word extends string>({ label, words, chosen, text = String, onChoose }: {
  /** Names the group to a screen reader. */
  label: string;
  words: readonly Word[];
  chosen: Word;
  /** What is shown for a word. @default the word */
  text?: (word: Word) => string;
  onChoose: (word: Word) => void;
}) {
  const roving = useRoving<HTMLDivElement>();
  return (
    <div class="choice" role="group" aria-label={label} {...roving}>
      {words.map((word) => (
        <button
          key={word}
          type="button"
          aria-pressed={word === chosen}
          data-label={text(word)}
          onClick={() => onChoose(word)}
        >
          <span>{text(word)}</span>
        </button>
      ))}
    </div>
  );
}
