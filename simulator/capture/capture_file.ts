/**
 * A capture: events with the time they came at and whose they were, a JSON object a line, to be
 * played again. The first line says what the file is.
 *
 * ```
 * {"capture":"orrery-simulator","version":1}
 * {"atMs":1795798574686,"client":1,"data":{"traceId":"…","name":"…","event":"processStarted",…}}
 * ```
 *
 * @module
 */
import type { LoggedEvent } from "../events/event_log.ts";

/** A line of a capture, but the first. */
export interface CapturedEvent {
  /** When the event came in, in milliseconds since the epoch. */
  readonly atMs: number;
  /** Which client it was of, within this capture; 0 is the server. */
  readonly client: number;
  /** The event's JSON as it was. */
  readonly json: string;
}

const heading = '{"capture":"orrery-simulator","version":1}';

/** The whole file for these events. */
export function captureText(events: readonly LoggedEvent[]): string {
  return `${heading}\n${captureLines(events)}`;
}

/** The lines for these events, each with its end; they are appended to a file that has its heading. */
export function captureLines(events: readonly LoggedEvent[]): string {
  let text = "";
  for (const { atMs, client, json } of events) {
    text += `{"atMs":${atMs},"client":${client},"data":${json}}\n`;
  }
  return text;
}

/** A file that is no capture, with what to do about it. */
export class CaptureError extends Error {
  override name = "CaptureError";
  /** What is wrong: the file cannot be read, it is no capture, or one of its lines is broken. */
  readonly kind: "unreadable" | "no-capture" | "broken-line";

  constructor(kind: CaptureError["kind"], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/** The form of a line: the event's JSON is cut out as it is, digit for digit. */
const lineForm = /^\{"atMs":(\d+(?:\.\d+)?),"client":(\d{1,9}),"data":(\{.*\})\}$/;
const maxLineCharacters = 2_097_152;

/**
 * Reads a capture.
 *
 * @throws {CaptureError} it cannot be read, it is none, or a line is broken
 */
export async function* readCapture(path: string): AsyncGenerator<CapturedEvent> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  yield* events(path, linesOf(file, path));
}

/**
 * Reads a capture's beginning, so that what is none is known before anything is started for it.
 *
 * @throws {CaptureError} it cannot be read, it is none, or its first line is broken
 */
export async function checkCapture(path: string): Promise<void> {
  for await (const _ of readCapture(path)) return;
}

function unreadable(path: string, error: unknown): CaptureError {
  const reason = error instanceof Error ? error.message : String(error);
  return new CaptureError(
    "unreadable",
    `Cannot read the capture ${path}: ${reason}. Give the path of a file that was saved by --capture or by the page.`,
    error,
  );
}

async function* events(
  path: string,
  lines: AsyncGenerator<string>,
): AsyncGenerator<CapturedEvent> {
  let number = 0;
  for await (const line of lines) {
    if (number++ === 0) {
      if (line !== heading) {
        throw new CaptureError(
          "no-capture",
          `${path} is no capture: its first line must be ${heading}.`,
        );
      }
      continue;
    }
    if (line !== "") yield capturedEvent(line, path, number);
  }
  if (number === 0) throw new CaptureError("no-capture", `${path} is empty: it is no capture.`);
}

function capturedEvent(line: string, path: string, number: number): CapturedEvent {
  const [, atMs, client, json] = lineForm.exec(line) ?? [];
  if (json === undefined) {
    throw new CaptureError(
      "broken-line",
      `Line ${number} of ${path} is broken: it must look like {"atMs":…,"client":…,"data":{…}}. Cut the file there to play what comes before.`,
    );
  }
  return { atMs: Number(atMs), client: Number(client), json };
}

async function* linesOf(file: Deno.FsFile, path: string): AsyncGenerator<string> {
  let rest = "";
  try {
    for await (const chunk of file.readable.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      if (rest.length > maxLineCharacters) {
        throw new CaptureError(
          "broken-line",
          `A line of the capture is longer than ${maxLineCharacters} characters.`,
        );
      }
      yield* lines;
    }
  } catch (error) {
    // A folder opens like a file, and only reading fails.
    throw error instanceof CaptureError ? error : unreadable(path, error);
  }
  if (rest !== "") yield rest;
}
