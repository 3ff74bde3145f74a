-- What runs when. pg_cron's entries follow from these calls; every time is UTC unless time_zone says otherwise.

-- The pulse is the scheduler's own heartbeat: the one entry that is no job.
select scheduler.sync_pulse_entry();

select scheduler.register_job(
  name => 'aggregate-device-metrics',
  schedule => '5 * * * *',
  payload => '{"granularity": "hour"}',
  description => 'Device metrics of the past hours, per device and for the fleet'
);

select scheduler.register_job(
  name => 'aggregate-device-metrics-daily',
  schedule => '10 0 * * *',
  target => 'aggregate-device-metrics',
  payload => '{"granularity": "day"}',
  description => 'Device metrics of the past days, from the hours'
);

select scheduler.register_job(
  name => 'code-monitor-daemon',
  schedule => '30 1-23/2 * * *',
  description => 'Failed Python executions by cause, a fix asked for each, the GitHub token'
);

select scheduler.register_job(
  name => 'system-health',
  schedule => '20 * * * *',
  description => 'Health of every component, one score, one report'
);

-- The organizations that follow the platform; when, say the settings daily_batch.…: */15 3-5 * * * in America/New_York.
select scheduler.register_daily_batch();

select scheduler.register_job(
  name => 'daily-batch-trigger-zones',
  schedule => '*/15 * * * *',
  target => 'daily-batch-trigger',
  payload => '{"zones": true}',
  run_if => 'scheduler.zoned_batch_is_due',
  description => 'Begins the daily batch of the organizations with their own zone or hour, once each local day'
);

-- No schedule: the trigger enqueues a run for each organization's batch, and a run that is out of time the next one.
select scheduler.register_job(
  name => 'robust-batch-processor',
  schedule => null,
  overlap_policy => 'allow',
  parallel_limit => 20,
  -- As long as the wall clock of a paid plan; on others the wall clock comes first.
  timeout_seconds => 390,
  description => 'Sends the prompts of one batch to the model providers and keeps the answers'
);

-- Every half hour, and at 06:05 in America/New_York, when by the settings daily_batch.… the window has closed.
select scheduler.register_batch_reconciler();

-- Somebody's Monday may begin in any hour; in the others run_if says that nobody is due.
select scheduler.register_job(
  name => 'weekly-suggestions',
  schedule => '40 * * * *',
  run_if => 'scheduler.suggestions_are_due',
  description => 'Suggests new prompts to each organization, once a week of its own'
);

select scheduler.register_job(
  name => 'prune-old-rows',
  schedule => '52 3 * * *',
  description => 'Deletes old rows of every growing table by its retention'
);

select scheduler.register_job(
  name => 'monitor-device-connections',
  schedule => '25,40,55 * * * *',
  description => 'Ends silent connections, sets devices online and offline, hands over their commands'
);

-- A run may take the whole wall clock; a claim holds longer than its run can last.
select scheduler.register_job(
  name => 'execute-scheduled-actions',
  schedule => '*/5 * * * *',
  timeout_seconds => 140,
  description => 'Reminders, callbacks, edge functions and commands that are due'
);

select scheduler.register_job(
  name => 'ecosystem-monitor',
  schedule => '35 11 * * *',
  description => 'Activity of the repositories, infrastructure, scores and a report of the past day'
);

select scheduler.register_job(
  name => 'api-key-health-monitor',
  schedule => '15 */6 * * *',
  description => 'Whether each API key is good, for how long, and what is left of its limit'
);
