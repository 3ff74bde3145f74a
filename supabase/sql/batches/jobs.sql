-- The jobs whose times follow from the settings daily_batch.…; the others are in schedules.json.

select batches.register_daily();
select batches.register_reconciler();
