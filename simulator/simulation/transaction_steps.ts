/**
 * What of a simulated transaction is waited for: the answer of a select, and a commit.
 *
 * @module
 */
import type { Row, SelectOptions, Value } from "../topology/ports.ts";
import type { LeafKind, Step } from "../topology/step.ts";
import { forever } from "./event_loop.ts";
import type { SimulatedTable } from "./simulated_table.ts";
import type { SimulatedTransaction } from "./simulated_transaction.ts";

interface Selection {
  readonly transaction: SimulatedTransaction;
  readonly table: SimulatedTable;
  readonly where: Readonly<Record<string, Value>>;
  readonly lock: SelectOptions["lock"];
  readonly ids: SelectOptions["ids"];
  readonly limit: number;
  /** What it goes on with once it has to wait for somebody. */
  rest: Step<readonly Row[]> | undefined;
}

/** A select whose answer is waited for, and then for those who hold its rows, if it is to. */
export const selection: LeafKind<Selection, readonly Row[]> = {
  start: ({ transaction }) => transaction.judgeOpen(),
  begin: ({ transaction }, resume) => transaction.flush(resume as () => void),
  finish(selection) {
    const { transaction, table, where, lock, ids, limit } = selection;
    transaction.judgeOpen();
    if (lock === undefined) return transaction.visible(table, where, ids, limit);
    const rows = transaction.visible(table, where, ids, Infinity);
    const locked: Row[] = [];
    for (let place = 0; place < rows.length && locked.length < limit; place++) {
      const row = rows[place]!;
      // It is as it was seen: nobody has come in between.
      if (transaction.tryLock(table, row.id)) locked.push(row);
      else if (lock === "wait") {
        const left = rows.slice(place).map(({ id }) => id);
        selection.rest = transaction.lockEach(table, where, left, locked, limit);
        break;
      }
    }
    return locked;
  },
  rest: ({ rest }) => rest,
};

/** A commit, which takes a while; a process that crashes by it never sees its end. */
export const committing: LeafKind<SimulatedTransaction, void> = {
  start(transaction) {
    transaction.judgeOpen();
    transaction.isCommitting = true;
  },
  begin: (transaction, resume) => transaction.beginCommit(resume as () => void),
  finish: (transaction) => transaction.finishCommit(),
  rest: ({ process }) => process.isLive ? undefined : forever(),
};
