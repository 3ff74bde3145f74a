import { componentTests, repeat } from "../../support/system-health.ts";

componentTests("tasks", [
  ["tasks are done", tasks(19, "completed") + tasks(2, "failed"), "healthy", {
    failed_percent: 9.5,
  }],
  ["a tenth fails", tasks(9, "completed") + tasks(1, "failed"), "degraded", {
    failed_percent: 10,
  }],
  ["three in ten fail", tasks(7, "completed") + tasks(3, "failed"), "critical", {
    failed_percent: 30,
  }],
  ["one failure of one is no share", tasks(1, "failed"), "healthy", { failed_percent: NaN }],
  ["what was cancelled is neither", tasks(9, "cancelled") + tasks(5, "completed"), "healthy", {
    failed_percent: 0,
  }],
  [
    "one open task in ten is overdue",
    tasks(9, "blocked", "0", "1 hour") + tasks(1, "blocked", "0", "-1 second"),
    "degraded",
    {
      overdue_percent: 10,
    },
  ],
  [
    "half of the open tasks are overdue",
    tasks(5, "blocked", "0", "1 hour") + tasks(5, "blocked", "0", "-1 second"),
    "critical",
    {
      overdue_percent: 50,
    },
  ],
  ["a task for ever is not overdue", tasks(9, "blocked", "0", "infinity"), "healthy", {}],
  ["a task was touched six hours ago", tasks(1, "in_progress", "6 hours"), "healthy", {
    stuck_tasks: 0,
  }],
  ["a task is stuck", tasks(1, "in_progress", "6 hours 1 second"), "degraded", {
    stuck_tasks: 1,
  }],
  ["ten tasks are stuck", tasks(10, "in_progress", "7 hours"), "critical", { stuck_tasks: 10 }],
  ["a task waits for a day", tasks(1, "pending", "24 hours"), "degraded", {
    oldest_pending_seconds: 86_400,
  }],
  ["a task waits for a week", tasks(1, "pending", "168 hours"), "critical", {
    oldest_pending_seconds: 604_800,
  }],
  [
    "a task for next month waits by right",
    tasks(1, "pending", "720 hours", "30 days"),
    "healthy",
    {
      oldest_pending_seconds: NaN,
    },
  ],
]);

function tasks(count: number, status: string, ago = "1 hour", dueIn: string | null = null): string {
  const over = ["completed", "failed", "cancelled"].includes(status);
  const due = dueIn === null
    ? "null"
    : dueIn === "infinity"
    ? "'infinity'"
    : `now() + interval '${dueIn}'`;
  return repeat(
    count,
    `insert into tasks (title, status, created_at, updated_at, started_at, completed_at, due_at)
     select 'task', '${status}', now() - interval '${ago}', now() - interval '${ago}', now() - interval '${ago}',
       (${over ? `now() - interval '${ago}'` : "null"})::timestamptz, (${due})::timestamptz`,
  );
}
