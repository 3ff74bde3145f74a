/** A stand-in for the API that the Supabase CLI deploys functions to: it keeps what is uploaded. */
import { join } from "node:path";

export interface ManagementApi {
  /** By function: its metadata, and its files by the paths that they were uploaded with. */
  deployed: Map<string, { metadata: Metadata; files: Map<string, string> }>;
  /** The changes of the functions' variables, in order. */
  secrets: ({ set: Record<string, string> } | { unset: string[] })[];
  /** What the CLI has to be told so that it deploys here. */
  args: string[];
  env: Record<string, string>;
  stop(): Promise<void>;
}

export interface Metadata {
  entrypoint_path: string;
  import_map_path: string;
  verify_jwt: boolean;
}

/** Starts it. `folder` is where the CLI's profile, which names this API, may be written. */
export async function startManagementApi(folder: string): Promise<ManagementApi> {
  const deployed: ManagementApi["deployed"] = new Map();
  const secrets: ManagementApi["secrets"] = [];
  const ref = "abcdefghijklmnopqrst";
  const answer = async (request: Request) => {
    const url = new URL(request.url);
    if (url.pathname.endsWith("/secrets")) {
      const body = await request.json();
      if (request.method === "DELETE") {
        secrets.push({ unset: body });
        return Response.json({});
      }
      const named = body as { name: string; value: string }[];
      secrets.push({ set: Object.fromEntries(named.map(({ name, value }) => [name, value])) });
      return Response.json({}, { status: 201 });
    }
    if (request.method !== "POST" || !url.pathname.endsWith("/functions/deploy")) {
      await request.body?.cancel();
      return Response.json(
        url.pathname.endsWith("/functions") ? [] : { id: ref, ref, name: "test" },
      );
    }
    const form = await request.formData();
    const slug = url.searchParams.get("slug")!;
    const files = new Map<string, string>();
    for (const file of form.getAll("file") as File[]) files.set(file.name, await file.text());
    deployed.set(slug, { metadata: JSON.parse(form.get("metadata") as string), files });
    return Response.json({
      ...{ id: slug, slug, name: slug, status: "ACTIVE", version: 1, verify_jwt: false },
      ...{ created_at: 0, updated_at: 0 },
    }, { status: 201 });
  };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, answer);
  const url = `http://127.0.0.1:${server.addr.port}`;
  const profile = join(folder, "profile.yaml");
  await Deno.writeTextFile(
    profile,
    `name: test\napi_url: ${url}\ndashboard_url: ${url}\ndocs_url: ${url}\nproject_host: localhost\npooler_host: localhost\n`,
  );
  return {
    deployed,
    secrets,
    args: ["--profile", profile, `--remote=${ref}`, "--use-api", "--yes"],
    env: { SUPABASE_ACCESS_TOKEN: `sbp_${"0".repeat(40)}` },
    stop: () => server.shutdown(),
  };
}
