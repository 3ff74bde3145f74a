/** The real Prometheus, where it is installed, for as long as a test needs it. */
import { join } from "node:path";
import { startOnFreePort } from "../../local/free-port.ts";
import { startProcess } from "../../local/supervised-process.ts";
import { findProgram } from "./promtool.ts";
import { waitUntil } from "./wait-until.ts";

const program = findProgram("prometheus");

/** Tests that need the server are ignored, and so counted as skipped, where it is not installed. */
export const hasPrometheus = program !== undefined;

export interface Prometheus {
  /** What its HTTP API answers under `/api/v1/`: the `data`. */
  // deno-lint-ignore no-explicit-any
  api(path: string): Promise<any>;
  /** The samples of an instant query: labels and value. */
  query(expression: string): Promise<{ labels: Record<string, string>; value: number }[]>;
}

export interface Scraped {
  /** URL of what is scraped. */
  url: string;
  /** The bearer token it wants. */
  token: string;
  /** Path of the rule file. */
  rules: string[];
}

/** Runs `fn` with a server that scrapes once a second and keeps its data in a directory of its own. */
export async function withPrometheus(
  { url, token, rules }: Scraped,
  fn: (prometheus: Prometheus) => Promise<void>,
): Promise<void> {
  if (program === undefined) throw new Error("Cannot start Prometheus: it is not installed");
  const directory = await Deno.makeTempDir({ prefix: "daybook-prometheus-" });
  const { protocol, host, pathname } = new URL(url);
  const config = {
    global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
    rule_files: rules,
    scrape_configs: [{
      job_name: "daybook",
      scheme: protocol.slice(0, -1),
      metrics_path: pathname,
      authorization: { credentials: token },
      static_configs: [{ targets: [host] }],
    }],
  };
  // JSON is YAML as well.
  await Deno.writeTextFile(join(directory, "prometheus.yml"), JSON.stringify(config));
  try {
    const { server, port } = await startOnFreePort(async (port) => {
      const server = await startProcess({
        name: "prometheus",
        command: program,
        args: [
          `--config.file=${join(directory, "prometheus.yml")}`,
          `--storage.tsdb.path=${join(directory, "data")}`,
          `--web.listen-address=127.0.0.1:${port}`,
        ],
        stopSignal: "TERM",
        graceSeconds: 10,
      });
      let over = false;
      void server.ended.then(() => over = true);
      try {
        await waitUntil("Prometheus to be ready", async () => {
          if (over) throw new Error(`Prometheus ended: ${server.lastLines()}`);
          const response = await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => undefined);
          await response?.body?.cancel();
          return response?.ok;
        }, 20_000);
      } catch (error) {
        await server.stop();
        throw error;
      }
      return { server, port };
    });
    const api = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
      const { status, data, error } = await response.json();
      if (status !== "success") throw new Error(`Prometheus refused ${path}: ${error}`);
      return data;
    };
    try {
      await fn({
        api,
        async query(expression) {
          const { result } = await api(`query?query=${encodeURIComponent(expression)}`);
          return result.map((
            { metric, value }: { metric: Record<string, string>; value: [number, string] },
          ) => ({ labels: metric, value: Number(value[1]) }));
        },
      });
    } finally {
      await server.stop();
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}
