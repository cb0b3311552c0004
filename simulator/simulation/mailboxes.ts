/**
 * How the relays and processors of a backend are woken: each has a mailbox with what it was woken about.
 *
 * @module
 */
import { done, leaf, type LeafKind, type Step } from "../topology/step.ts";
import type { Event, EventLoop, Process } from "./event_loop.ts";

/** What can be worked at. */
export type Box = "outbox" | "inbox";

interface Mailbox {
  readonly box: Box;
  subjects: string[];
  /** `undefined` unless its process sleeps. */
  wake: (() => void) | undefined;
}

/** Those of a backend. */
export class Mailboxes {
  readonly #loop: EventLoop;
  readonly #ofProcesses = new Map<Process, Mailbox>();
  readonly #ofBoxes: Readonly<Record<Box, Mailbox[]>> = { outbox: [], inbox: [] };

  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  /** Gives a process a mailbox. */
  add(process: Process, box: Box): void {
    const mailbox = { box, subjects: [], wake: undefined };
    this.#ofProcesses.set(process, mailbox);
    this.#ofBoxes[box].push(mailbox);
  }

  /** Empties the mailbox of a process that has crashed. */
  clear(process: Process): void {
    const mailbox = this.#ofProcesses.get(process);
    if (mailbox === undefined) return;
    mailbox.subjects = [];
    mailbox.wake = undefined;
  }

  /**
   * Wakes whoever works at a box. Those who are at work look again before they sleep: what has come may be the
   * next of a key that they have. Of an inbox, one who sleeps is enough beside them; of an outbox, only its owner
   * can do anything.
   */
  wake(box: Box, subject: string): void {
    let isWoken = false;
    for (const mailbox of this.#ofBoxes[box]) {
      const { wake } = mailbox;
      if (wake !== undefined && isWoken && box === "inbox") continue;
      mailbox.subjects.push(subject);
      wake?.();
      isWoken ||= wake !== undefined;
    }
  }

  /** Waits to be woken, at most so long; gives what it was about. */
  sleep(process: Process, limitMs: number): Step<readonly string[]> {
    const mailbox = this.#ofProcesses.get(process)!;
    if (mailbox.subjects.length > 0) return done(subjectsOf(mailbox));
    return leaf(sleeping, { loop: this.#loop, mailbox, process, limitMs });
  }
}

interface Sleep {
  readonly loop: EventLoop;
  readonly mailbox: Mailbox;
  readonly process: Process;
  readonly limitMs: number;
}

const sleeping: LeafKind<Sleep, readonly string[]> = {
  begin({ loop, mailbox, process, limitMs }, resume) {
    const timer: Event = loop.after(limitMs, () => {
      mailbox.wake = undefined;
      resume(undefined);
    }, process);
    mailbox.wake = () => {
      mailbox.wake = undefined;
      loop.callOff(timer);
      loop.after(0, resume as () => void, process);
    };
  },
  finish: ({ mailbox }) => subjectsOf(mailbox),
};

/** Takes out what it was woken about. */
function subjectsOf(mailbox: Mailbox): readonly string[] {
  const { subjects } = mailbox;
  mailbox.subjects = [];
  return subjects;
}
