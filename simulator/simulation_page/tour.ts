/**
 * The tour: eight short scenes, one at each fault point. Each asks what will happen before it plays.
 *
 * @module
 */
import type { EngineInput, FaultPoint, LogEntry } from "../simulation/engine.ts";
import { watchableRun } from "./scenario.ts";

/** A scene. */
export interface Scene {
  readonly title: string;
  readonly point: FaultPoint;
  readonly input: EngineInput;
  /** Asked before it plays; empty where the pictures of the answers ask by themselves. */
  readonly question: string;
  readonly answers: readonly string[];
  /** The place of the right answer. */
  readonly right: number;
  /** Said once it has played. */
  readonly explanation: string;
}

/** Numbers of the kinds of fault, as records have them. */
const kinds = {
  ...{ "refuse": 1, "time-out": 2, "lose-answer": 3, "delay": 4, "duplicate": 5 },
  ...{ "crash-before": 7, "crash-after": 8, "outage": 9 },
} as const;

const one = { orders: 1, keys: 1, arrivalMs: 50 } as const;

/** All scenes, in their order. */
export const scenes: readonly Scene[] = [
  {
    title: "Lost on its way",
    point: 2,
    input: watchableRun([["fault-2 o1", kinds["time-out"]]], one),
    question: "",
    answers: ["It arrives", "It is lost"],
    right: 0,
    explanation:
      "The outbox still had the order. Nobody answered, so the relay sent it again, and then it was marked as sent.",
  },
  {
    title: "Placed, but nobody said so",
    point: 1,
    input: watchableRun([["fault-1 o1", kinds["lose-answer"]]], one),
    question:
      "Backend 1 stores the order, but its answer is lost, so the frontend asks again. How many orders are there then?",
    answers: ["None", "One", "Two"],
    right: 1,
    explanation:
      "The order has an id of its own. At the second request backend 1 finds it stored, and only answers.",
  },
  {
    title: "Not acknowledged",
    point: 3,
    input: watchableRun([["fault-3 o1", kinds["time-out"]]], one),
    question:
      "Lambda 2 has written the order into the inbox, but its acknowledgement never reaches the bus. What does the bus do?",
    answers: ["It forgets the order", "It gives it out again", "It waits for ever"],
    right: 1,
    explanation:
      "The lease ran out and the order came again. The inbox has its id already: the copy was dropped, and the order applied once.",
  },
  {
    title: "Crash before the commit",
    point: 4,
    input: watchableRun([["fault-4 o1", kinds["crash-before"]]], one),
    question:
      "The lambda crashes just before its write into the inbox is committed. Where is the order?",
    answers: ["Still in the bus", "In the inbox", "Nowhere"],
    right: 0,
    explanation:
      "It is acknowledged only after the commit. So the bus still had it, and gave it to the other lambda once the lease was over.",
  },
  {
    title: "Crash after the commit",
    point: 5,
    input: watchableRun([["fault-5 o1", kinds["crash-after"]]], one),
    question:
      "The processor has committed the effect and crashes before anybody hears of it. How often is the order billed?",
    answers: ["Never", "Once", "Twice"],
    right: 1,
    explanation:
      "Effect, mark of the inbox and next message are one transaction. Whoever looks after the crash finds all of it done.",
  },
  {
    title: "Nobody kept it",
    point: 6,
    input: watchableRun([["fault-6 r1", kinds["refuse"]]], { ...one, pattern: "fire-and-forget" }),
    question:
      "No outbox now: the result is sent right after the commit, and the bus refuses it once. Does backend 1 ever hear of it?",
    answers: ["Yes, a moment later", "Yes, twice", "Never"],
    right: 2,
    explanation:
      "The commit is done and nothing remembers the message. This is what an outbox is for: the same refusal costs it only a moment.",
  },
  {
    title: "The bus is out",
    point: 7,
    input: watchableRun([
      ["fault-7 results", kinds["outage"]],
      ["outage-ms 7/results", 1_000],
      ["outage-mode 7/results", 1],
    ], { ...one, orders: 3, arrivalMs: 200 }),
    question: "For a second nobody can get results from the bus. Where do three results wait?",
    answers: ["In Outbox 2", "In the bus", "In Inbox 1"],
    right: 1,
    explanation:
      "They were accepted, so the bus has them. Once it can be reached again they are taken in, in the order of their key.",
  },
  {
    title: "It comes twice",
    point: 8,
    input: watchableRun([["fault-8 r1", kinds["duplicate"]]], one),
    question: "The write into Inbox 1 is carried out twice. How often is the order confirmed?",
    answers: ["Once", "Twice"],
    right: 0,
    explanation:
      "The inbox has one row for each consumer and message. The second write was refused as a duplicate.",
  },
];

/** Where a scene is over: what is broken, or that all is done. */
export function endOf(entries: readonly LogEntry[]): number {
  const broken = entries.findIndex(({ kind }) => kind === "VIOLATION");
  if (broken >= 0) return broken;
  const healed = entries.findIndex(({ kind }) => kind === "heal");
  return healed < 0 ? entries.length - 1 : healed;
}
