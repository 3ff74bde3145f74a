import { componentTests, repeat } from "../../support/system-health.ts";

componentTests("python", [
  ["code works", runs(9, "completed") + runs(2, "failed"), "healthy", { failed_percent: 18.2 }],
  ["a fifth fails", runs(8, "completed") + runs(2, "failed"), "degraded", { failed_percent: 20 }],
  ["half fails", runs(5, "completed") + runs(5, "failed"), "critical", { failed_percent: 50 }],
  ["a tenth times out", runs(9, "completed") + runs(1, "timed_out"), "degraded", {
    timed_out_percent: 10,
  }],
  ["three in ten time out", runs(7, "completed") + runs(3, "timed_out"), "critical", {
    timed_out_percent: 30,
  }],
  [
    "cancelled executions say nothing",
    runs(50, "cancelled") + runs(8, "completed") + runs(2, "failed"),
    "degraded",
    {
      failed_percent: 20,
    },
  ],
  ["an execution may overrun by five minutes", running(1, "6 minutes"), "healthy", {
    stuck_executions: 0,
  }],
  ["an execution is stuck", running(1, "6 minutes 1 second"), "degraded", {
    stuck_executions: 1,
  }],
  ["five executions are stuck", running(5, "1 hour"), "critical", { stuck_executions: 5 }],
  ["code waits for ten minutes", queued("10 minutes"), "degraded", {
    oldest_queued_seconds: 600,
  }],
  ["code waits for an hour", queued("1 hour"), "critical", { oldest_queued_seconds: 3600 }],
]);

function runs(count: number, status: string): string {
  return repeat(
    count,
    `insert into eliza_python_executions (code, status, exit_code, started_at, finished_at, duration_ms)
     select 'x', '${status}', ${
      status === "completed" ? 0 : 1
    }, now() - interval '2 hours', now() - interval '1 hour', 5`,
  );
}

function running(count: number, ago: string): string {
  return repeat(
    count,
    `insert into eliza_python_executions (code, status, started_at)
     select 'x', 'running', now() - interval '${ago}'`,
  );
}

function queued(ago: string): string {
  return `insert into eliza_python_executions (code, created_at) values ('x', now() - interval '${ago}');\n`;
}
