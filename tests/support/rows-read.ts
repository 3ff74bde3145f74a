/** How many rows of tables a statement reads, by Postgres' own count: what it costs, whatever the machine does. */
import type { Sql, TransactionSql } from "postgres";

/** Does `work` in a transaction; for each of the tables the rows that were read, by scans and through indexes. */
export async function rowsRead(
  sql: Sql,
  tables: string[],
  work: (tx: TransactionSql) => Promise<unknown>,
): Promise<Record<string, number>> {
  return await sql.begin(async (tx) => {
    const count = async () => {
      const rows = await tx<{ relname: string; rows: number }[]>`
        select relname, (seq_tup_read + coalesce(idx_tup_fetch, 0))::int as rows from pg_stat_xact_user_tables
        where relname = any (${tables})`;
      return new Map(rows.map((row) => [row.relname, row.rows]));
    };
    const before = await count();
    await work(tx);
    const after = await count();
    return Object.fromEntries(
      tables.map((table) => [table, after.get(table)! - before.get(table)!]),
    );
  });
}
