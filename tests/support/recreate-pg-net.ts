import type { Sql } from "postgres";
import { bootstrapDatabase } from "../../local/bootstrap.ts";

/**
 * `drop extension pg_net` and `create extension pg_net`, for the stand-in too, which has no control file:
 * both tables are empty then and the ids begin at 1, and no crash is to be seen. `admin` is a superuser.
 */
export async function recreatePgNet(admin: Sql): Promise<void> {
  await admin`drop extension if exists pg_net`;
  await bootstrapDatabase(admin, { realExtensions: false });
}
