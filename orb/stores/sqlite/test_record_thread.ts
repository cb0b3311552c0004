/**
 * For tests: the database of the worker in the thread of the test, where its time can be the test's,
 * and where mutation testing reaches it.
 *
 * @module
 */
import { realWorld } from "../../../service/world/world.ts";
import { decodeCommands, encodeReplies, type RecordWorker } from "./record_worker.ts";
import { SqliteRecords } from "./sqlite_records.ts";

/** A {@linkcode RecordWorker} that is none: what it is asked is done before it is answered. */
export function recordsInThisThread(nowMs: () => number = () => realWorld.nowMs()): RecordWorker {
  let records: SqliteRecords | undefined;
  return {
    ask(question) {
      const answer = { isNew: [] as boolean[], replies: "" };
      try {
        if (question.type === "open") records = new SqliteRecords({ path: question.path, nowMs });
        if (question.type === "apply") {
          const { digests, commands } = question;
          const asked = commands === "" ? [] : decodeCommands(commands);
          const { tokens, replies } = records!.apply(digests, asked);
          answer.isNew = tokens.map((result) => result === "new");
          answer.replies = replies.length === 0 ? "" : encodeReplies(replies, asked);
        }
        if (question.type === "probe") records!.probe();
        if (question.type === "close") records!.close();
        return Promise.resolve(answer);
      } catch (error) {
        const { message, errcode = 0 } = error as Error & { errcode?: number };
        return Promise.resolve({ ...answer, error: { message, code: errcode } });
      }
    },
    end: () => {},
  };
}
