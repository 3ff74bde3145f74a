import type { Client } from "pg";

/** What one statement gave, each value in the text that the server sent. */
export interface StatementResult {
  /** Undefined for a statement that gives no rows, and for what `copy` sends. */
  columns?: string[];
  rows: (string | null)[][];
  /** What Postgres says was done, `INSERT 0 3` say. */
  done: string;
}

/**
 * Runs the statements of a text and hands over the result of each as it comes.
 *
 * @throws Error as the server gave it; what came before it has been handed over.
 */
export async function runStatements(
  client: Client,
  text: string,
  onResult: (result: StatementResult) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let result: StatementResult = { rows: [], done: "" };
  client.query({
    submit: (connection: { query(text: string): void }) => connection.query(text),
    handleRowDescription({ fields }: { fields: { name: string }[] }) {
      result.columns = fields.map(({ name }) => name);
    },
    handleDataRow({ fields }: { fields: (string | null)[] }) {
      result.rows.push(fields);
    },
    handleCommandComplete({ text }: { text: string }) {
      onResult({ ...result, done: text });
      result = { rows: [], done: "" };
    },
    handleCopyData({ chunk }: { chunk: Uint8Array }) {
      result.rows.push([new TextDecoder().decode(chunk).replace(/\n$/, "")]);
    },
    handleCopyInResponse(connection: { sendCopyFail(reason: string): void }) {
      connection.sendCopyFail("there is nothing to copy from here");
    },
    handleEmptyQuery() {},
    handlePortalSuspended() {},
    handleError: reject,
    handleReadyForQuery: () => resolve(),
  });
  await promise;
}
