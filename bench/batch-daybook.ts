import { createClient } from "@supabase/supabase-js";
import type { Sql } from "postgres";
import type { Database } from "../shared/database.types.ts";
import type { Contestant } from "./batch-contestant.ts";

const chunk = 2000;

/** What comes of a task besides its id and answerer; a provider may leave the other fields out. */
const result = { outcome: "answered", answer: "done", model: "bench" };

interface Claimed {
  tasks: { id: number; answerer: string }[];
}
interface Finished {
  ended: boolean;
}

/**
 * Daybook's queue through its real path: supabase-js, PostgREST, claim_batch_tasks and finish_batch_tasks; four
 * workers, each with an organization's batch job, as the database calls them.
 */
export async function startDaybook(
  restUrl: string,
  key: string,
  sql: Sql,
): Promise<Contestant> {
  await sql`
    insert into batch_providers (name, model, api_url_variable, api_key_variable)
    select 'bench-' || i, 'bench', 'BENCH_URL', 'BENCH_KEY' from generate_series(1, 4) as i
    on conflict do nothing`;
  const db = createClient<Database>(restUrl, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    // PostgREST itself, which has no gateway's prefix.
    global: { fetch: (input, init) => fetch(String(input).replace("/rest/v1", ""), init) },
  });
  let batches: string[] = [];

  async function work(p_job_id: string) {
    const p_token = crypto.randomUUID();
    for (;;) {
      const claim = await db.rpc("claim_batch_tasks", { p_job_id, p_token, p_limit: chunk });
      if (claim.error) throw claim.error;
      const { tasks } = claim.data as unknown as Claimed;
      const p_results = tasks.map(({ id, answerer }) => ({ id, answerer, ...result }));
      const finish = await db.rpc("finish_batch_tasks", { p_job_id, p_token, p_results });
      if (finish.error) throw finish.error;
      if ((finish.data as unknown as Finished).ended) return;
    }
  }

  return {
    name: "Daybook",
    setting: `4 batch jobs, a worker each, chunks of ${chunk}, supabase-js and PostgREST`,
    async fill(count) {
      const file = new URL("batch-daybook.sql", import.meta.url);
      const rows = await sql.unsafe(await Deno.readTextFile(file), [count / 4]);
      batches = rows.map((row) => row.id);
      await sql`vacuum analyze batch_tasks, batch_jobs, batch_providers, prompts`;
    },
    async drain() {
      await Promise.all(batches.map(work));
      const [row] = await sql`
        select every(status = 'completed') as over from batch_jobs where id = any (${batches})`;
      if (!row!.over) throw new Error("Cannot measure Daybook: a batch job did not end");
    },
    stop: () => Promise.resolve(),
  };
}
