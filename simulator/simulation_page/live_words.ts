/**
 * What has just happened live, in words.
 *
 * @module
 */
import { formatDuration } from "../../service/page/format.ts";
import { usualSettings } from "../live/live_settings.ts";
import type { LiveStep } from "../live/live_state.ts";
import { type FaultPoint, type LogEntry } from "../simulation/engine.ts";
import { pointTitles } from "./topology_layout.ts";
import { entryWords, messageWords, partWords } from "./words.ts";

/** Whether a step is worth a line: calls that have got through are drawn only. */
export function isTold({ event, detail, point }: LiveStep): boolean {
  if (event === "call") return detail !== undefined;
  // That it is down, and for how long, is a step by itself.
  return !(event === "fault" && point === undefined && detail?.startsWith("crash"));
}

/** A step as a sentence. */
export function stepWords(step: LiveStep): string {
  const { part, event, subject, detail = "", point } = step;
  switch (event) {
    case "placed":
      return entryWords(
        part === "frontend" ? entryOf(step) : entryOf(step, "commit", "orders+1", [subject]),
      );
    case "delivered":
      return entryWords(entryOf(step, "deliver", detail.replace(",", "")));
    case "fault": {
      const [, kind, more] = /^([a-z-]+)(?:, (.*))?$/s.exec(detail) ?? ["", detail];
      return point === undefined
        ? handlerFaultWords(step, kind!, more)
        : linkFaultWords(step, point, kind!, more);
    }
    case "call":
      return `${partWords(part)} did not get through at point ${point}, ${pointTitles[point!]}: ${
        messageWords(subject)
      } (${detail})`;
    case "kill":
      return `${partWords(part)} was killed`;
    case "crash":
      return entryWords(entryOf(step, "crash", detail.replace(/^down for /, "")));
    case "start":
      return `${partWords(part)} was started`;
    default:
      return entryWords(entryOf(step));
  }
}

function entryOf(
  { part, event, subject, detail = "" }: LiveStep,
  kind = event,
  words = detail,
  messages: string[] = [],
): LogEntry {
  return { event: 0, atUs: 0, kind, part, subject, detail: words, messages };
}

/** Of what a call was hit by, and how. */
function linkFaultWords(step: LiveStep, point: FaultPoint, kind: string, more = ""): string {
  // What is only one way is a call that has come through, or has not.
  const does = more === "the answer is lost"
    ? "lose-answer"
    : more === "it never arrives"
    ? "time-out"
    : kind;
  const words = entryWords(entryOf(step, `fault-${point}`, does));
  const [, ms] = /(\d+) ms/.exec(more) ?? [];
  const duration = ms === undefined ? "" : formatDuration(Number(ms));
  switch (kind) {
    case "delay":
      return `${words} by ${duration}, ${wayWords(more)}`;
    case "duplicate":
      return `${words}, again after ${duration}`;
    case "reorder":
      return `${words}: held for ${duration}`;
    case "outage":
      return does === kind ? words : `${words} (an outage)`;
    default:
      return words;
  }
}

function wayWords(more: string): string {
  if (more.endsWith("there")) return "on the way there";
  return more.endsWith("back") ? "on the way back" : "half of it each way";
}

/** Of what has hit a part, or a handler at a message. */
function handlerFaultWords({ part, subject }: LiveStep, kind: string, more = ""): string {
  const who = partWords(part);
  const message = messageWords(subject);
  const ms = parseFloat(more);
  switch (kind) {
    case "poison":
      return `${who} cannot handle ${message} for ${more}: it is a poison message`;
    case "slow-consumer":
      return `${who} takes ${formatDuration(ms)} for ${message}${
        ms > usualSettings.leaseMs
          ? `, longer than its lease of ${formatDuration(usualSettings.leaseMs)}`
          : ""
      }`;
    case "pause":
      return `${who} stands still for ${formatDuration(ms)}`;
    default:
      return `${who}: ${kind}${more === "" ? "" : `, ${more}`}`;
  }
}
