/**
 * The tour as a page: a scene, its question, what came of it.
 *
 * @module
 */
import { useEffect } from "preact/hooks";
import { signal, useSignalEffect } from "@preact/signals";
import { Loading } from "../../service/page/states.tsx";
import { address, numberParam, setParams } from "../../service/page/url_state.ts";
import { encodeRun } from "./link.ts";
import { isPlaying, isStill, speed, stopPlace } from "./play.ts";
import { current, entryPlace, view } from "./page_state.ts";
import { step } from "./position.ts";
import { show } from "./store.ts";
import { endOf, type Scene, scenes } from "./tour.ts";
import { RunTopology } from "./run_topology.tsx";
import { entryWords } from "./words.ts";

/** Answers by scene. */
const answered = signal<ReadonlyMap<number, number>>(new Map());

/** See the module. */
export function TourView() {
  const number = numberParam(address.value.params, "scene", { min: 1, max: 8, fallback: 1 });
  const scene = scenes[number - 1]!;
  const run = current.value;
  const isHere = run !== undefined && run.code === encodeRun(scene.input);
  useEffect(() => {
    isPlaying.value = false;
    void show(scene.input, `tour: ${scene.title}`, {
      params: { view: "tour", scene: number, at: 0, b: undefined },
      isReplacing: true,
    });
  }, [number]);
  useSignalEffect(() => {
    // Left for another view, it plays on as usual.
    if (address.value.params.get("view") !== "tour") stopPlace.value = undefined;
  });
  const chosen = answered.value.get(number);
  const isOver = isHere && chosen !== undefined &&
    entryPlace.value >= endOf(run.info.entries);
  const entry = run?.info.entries[entryPlace.value];
  if (!isHere) return <Loading what="the scene" rows={4} />;
  return (
    <div class="tour">
      <ol class="tour-steps" aria-label="Scenes">
        {scenes.map(({ title }, index) => (
          <li key={title}>
            <button
              type="button"
              class="tour-step"
              aria-current={index + 1 === number ? "step" : undefined}
              aria-label={`Scene ${index + 1}: ${title}`}
              title={title}
              onClick={() => setParams({ scene: index + 1 })}
            >
              {index + 1}
            </button>
          </li>
        ))}
      </ol>
      <RunTopology
        run={run}
        view={view.value}
        place={entryPlace.value}
        hasControls={false}
      />
      <section class="tour-panel" aria-label={`Scene ${number}: ${scene.title}`}>
        {number > 1 && <h1>{scene.title}</h1>}
        {chosen === undefined ? <Question scene={scene} number={number} /> : (
          <>
            <p class="tour-event" aria-live="polite">
              {entry === undefined ? "Here it begins." : entryWords(entry)}
            </p>
            {!isOver && (
              <button
                type="button"
                class="button"
                onClick={() =>
                  isStill.peek() ? step("event", 1) : isPlaying.value = !isPlaying.peek()}
              >
                {isStill.value ? "Step →" : isPlaying.value ? "Pause" : "Go on"}
              </button>
            )}
            {isOver && <Outcome scene={scene} chosen={chosen} number={number} />}
          </>
        )}
      </section>
    </div>
  );
}

function Question({ scene, number }: { scene: Scene; number: number }) {
  function answer(index: number) {
    answered.value = new Map([...answered.peek(), [number, index]]);
    stopPlace.value = endOf(current.peek()!.info.entries);
    speed.value = 0;
    if (isStill.peek()) step("event", 1);
    else isPlaying.value = true;
  }
  if (scene.question === "") {
    return (
      <div
        class="tour-answers"
        role="group"
        aria-label="Does the order arrive although it is lost once at point 2?"
      >
        <LostPicture />
        {scene.answers.map((text, index) => (
          <button
            key={text}
            type="button"
            class="tour-picture"
            aria-label={text}
            title={text}
            onClick={() => answer(index)}
          >
            <svg viewBox="0 0 48 48" width="48" height="48" aria-hidden="true">
              <path
                class={index === 0 ? "picture-yes" : "picture-no"}
                d={index === 0 ? "M10 25l10 10L39 13" : "M12 12l24 24M36 12L12 36"}
              />
            </svg>
          </button>
        ))}
      </div>
    );
  }
  return (
    <>
      <p class="tour-question">{scene.question}</p>
      <div class="tour-answers" role="group" aria-label="Answers">
        {scene.answers.map((text, index) => (
          <button
            key={text}
            type="button"
            class="button"
            onClick={() => answer(index)}
          >
            {text}
          </button>
        ))}
      </div>
    </>
  );
}

/** An order that is crossed out on its way, and a question mark. */
function LostPicture() {
  return (
    <svg class="tour-lost" viewBox="0 0 180 48" width="180" height="48" aria-hidden="true">
      <circle class="service-0" cx="24" cy="24" r="14" />
      <path class="picture-way" d="M44 24h76" />
      <path class="picture-no" d="M72 12l24 24M96 12L72 36" />
      <rect class="picture-box" x="126" y="8" width="44" height="32" rx="3" />
      <text class="picture-ask" x="148" y="32">?</text>
    </svg>
  );
}

function Outcome({ scene, chosen, number }: { scene: Scene; chosen: number; number: number }) {
  const isRight = chosen === scene.right;
  return (
    <div role="status">
      <p class={isRight ? "tour-verdict tour-right" : "tour-verdict"}>
        {isRight ? "Right." : "It went otherwise."} {scene.answers[scene.right]}.
      </p>
      <p>{scene.explanation}</p>
      <p class="tour-next">
        {number < scenes.length
          ? (
            <button type="button" class="button" onClick={() => setParams({ scene: number + 1 })}>
              Next scene →
            </button>
          )
          : (
            <button
              type="button"
              class="button"
              onClick={() => setParams({ view: undefined, scene: undefined })}
            >
              Now break it yourself →
            </button>
          )}
        <button
          type="button"
          class="button"
          onClick={() => setParams({ view: undefined, scene: undefined })}
        >
          Look into this run
        </button>
      </p>
    </div>
  );
}
