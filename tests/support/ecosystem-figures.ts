import type { Figures } from "../../supabase/functions/ecosystem-monitor/figures.ts";

const names = [
  "commits",
  "issues_opened",
  "issues_closed",
  "pull_requests_opened",
  "pull_requests_merged",
  "releases",
  "stars_gained",
];

/** Figures of a day on which nothing is known, with those that a test gives. */
export function figures(
  activity: Partial<Figures["activity"]> = {},
  infrastructure: Partial<Figures["infrastructure"]> = {},
): Figures {
  return {
    activity: {
      repositories: 0,
      with_figures: 0,
      gone: [],
      figures: {},
      busiest: [],
      ...activity,
    },
    infrastructure: {
      computed: false,
      active_devices: null,
      charging_efficiency_percent: null,
      energy_wh: null,
      pop_validated: null,
      pop_rejected: null,
      commands_completed: null,
      commands_failed: null,
      commands_expired: null,
      hours_computed: 0,
      hours_active: 0,
      devices: null,
      ...infrastructure,
    },
  };
}

/** Activity of that many repositories with the same total of everything, known in each of them. */
export function activity(repositories: number, total: number): Partial<Figures["activity"]> {
  return {
    repositories,
    with_figures: repositories,
    figures: Object.fromEntries(
      names.map((name) => [name, { total, known: repositories, at_least: false }]),
    ),
  };
}

/** A fleet at its best. */
export const fleet: Partial<Figures["infrastructure"]> = {
  computed: true,
  active_devices: 9,
  charging_efficiency_percent: 92.5,
  energy_wh: 1200,
  pop_validated: 40,
  pop_rejected: 1,
  commands_completed: 20,
  commands_failed: 0,
  commands_expired: 0,
  hours_computed: 24,
  hours_active: 24,
  devices: { in_service: 10, online: 8, at: "2026-02-21T11:35:00+00:00" },
};

const busy: Figures["activity"]["busiest"][number] = {
  full_name: "octocat/Hello-World",
  commits: 4,
  issues_opened: 1,
  issues_closed: 2,
  pull_requests_opened: 1,
  pull_requests_merged: null,
  releases: 0,
  stars_total: 1234,
  stars_gained: 5,
};

/** The day whose report the job's page shows. */
export const reportedDay = figures({
  ...activity(3, 4),
  busiest: [busy, { ...busy, full_name: "octocat/Spoon-Knife", commits: null, stars_gained: -2 }],
}, { ...fleet, commands_completed: null });
