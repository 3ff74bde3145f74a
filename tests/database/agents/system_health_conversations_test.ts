import { componentTests, repeat } from "../../support/system-health.ts";

componentTests("conversations", [
  ["people are answered", talks(10, "5 minutes", "4 minutes"), "healthy", {
    unanswered_percent: 0,
  }],
  [
    "one in ten waits for 15 minutes",
    talks(9, "1 hour", "30 minutes") + talks(1, "15 minutes 1 second"),
    "degraded",
    {
      unanswered_percent: 10,
    },
  ],
  ["15 minutes are not too long yet", talks(10, "15 minutes"), "healthy", {
    unanswered_percent: 0,
    longest_wait_seconds: 900,
  }],
  ["four in ten wait", talks(6, "1 hour", "30 minutes") + talks(4, "20 minutes"), "critical", {
    unanswered_percent: 40,
  }],
  ["somebody waits for an hour", talks(1, "1 hour"), "degraded", { longest_wait_seconds: 3600 }],
  ["somebody waits for 12 hours", talks(1, "12 hours"), "critical", {
    longest_wait_seconds: 43_200,
  }],
  ["an answer from before the question is none", talks(1, "2 hours", "3 hours"), "degraded", {
    longest_wait_seconds: 7200,
  }],
  ["who asked days ago has gone", talks(9, "25 hours"), "healthy", {}],
  ["one in twenty fails", ended(19, "closed") + ended(1, "failed"), "degraded", {
    failed_percent: 5,
  }],
  ["a quarter fails", ended(15, "closed") + ended(5, "failed"), "critical", {
    failed_percent: 25,
  }],
]);

function talks(count: number, asked: string, answered: string | null = null): string {
  return repeat(
    count,
    `insert into conversations (last_user_message_at, last_agent_message_at)
     select now() - interval '${asked}', (${
      answered === null ? "null" : `now() - interval '${answered}'`
    })::timestamptz`,
  );
}

function ended(count: number, status: string): string {
  return repeat(
    count,
    `insert into conversations (status, closed_at, last_user_message_at, last_agent_message_at)
     select '${status}', now() - interval '1 hour', now() - interval '2 hours', now() - interval '2 hours'`,
  );
}
