"""What wakes a resting relay, for every schema with an outbox. Frozen, like the migrations that use it.

A NOTIFY makes all commits of the database wait for one another, so it is kept for when somebody rests: a relay with nothing to do holds
the advisory lock (`REST`, oid of its outbox) exclusively, a writer tries to share it until its commit. Either the writer cannot and
notifies, or the relay cannot rest before that commit is there to be read: no event is slept through.
"""

REST = 7_236_847
WAKE = [
    f"""create function outbox_wake() returns trigger language plpgsql as $body$
begin
  if not pg_try_advisory_xact_lock_shared({REST}, tg_relid::int) then
    perform pg_notify(tg_table_schema || '_outbox', '');
  end if;
  return null;
end $body$""",
    "create trigger outbox_wake after insert on outbox for each statement execute function outbox_wake()",
    # what the relay published leaves dead entries at the head of its index, however large the table is
    "alter table outbox set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000)",
]
