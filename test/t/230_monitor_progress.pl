# Progress of long work is seen while it runs, and gone with it however it ends;
# and a standby counts what it serves.
use strict;
use warnings;

use Test::More;

use Driver qw(create_driver);
use Server;
use Session qw(create_database query run_sql);

my $server = Server->new("shared_preload_libraries = 'modelopt'", 'wal_level = replica', 'max_wal_senders = 4');
$server->on(sub {
	create_database('work');
	create_driver('work');
	query('work', q{
		CREATE TABLE zoo AS SELECT model_agg('w' || t, data ORDER BY t) AS m
			FROM (SELECT t, array_agg(line ORDER BY g) AS data
				FROM (SELECT t, i / 1000 AS g, array_agg((sin(i * t))::real ORDER BY i) AS line FROM generate_series(1, 4) t, generate_series(0, 499999) i GROUP BY t, i / 1000) l
				GROUP BY t) d;
		CREATE FUNCTION look_often() RETURNS TABLE (operation text, phase text, unit text, done bigint, total bigint, has_started boolean, datname name)
			LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN 1 .. 1000 LOOP
				RETURN QUERY SELECT p.operation, p.phase, p.unit, p.done, p.total, p.started <= clock_timestamp(), d.datname
				FROM modelopt.stat_progress p JOIN pg_database d ON d.oid = p.dbid;
			END LOOP;
		END $$;
		CREATE TABLE net AS SELECT set_graph(model_agg('a.weight', '{{1,1},{2,3},{4,6}}'), 'a:linear') AS m;
		CREATE TABLE file AS SELECT model_write(m, 'safetensors') AS bytes FROM zoo});
});
sub on { return $server->query_on('work', @_) }

# Runs something again and again until somebody sees it, and returns all that was seen of it.
sub seen
{
	my ($operation, $sql) = @_;
	my $worker = $server->on(sub { Session->new('work') });
	my $watcher = $server->on(sub { Session->new('work') });
	my @seen;
	for (1 .. 40)
	{
		$worker->start($sql);
		push @seen, split /\n/, $watcher->run('SELECT DISTINCT * FROM look_often() ORDER BY done');
		$worker->finish;
		last if grep { /^\Q$operation\E\|/ && (split /\|/)[3] > 0 } @seen;
	}
	$_->quit for $worker, $watcher;
	return grep { /^\Q$operation\E\|/ } @seen;
}

for my $case (
	['prune', q{SELECT length(bytea(prune(m, 0.5, include => '{w1,w2,w3,w4}'))) FROM zoo}, 'elements', 2000000],
	['quantize', q{SELECT length(bytea(quantize(m, 'int8', include => '{w1,w2,w3,w4}'))) FROM zoo}, 'bytes', 8000000],
	['compress', q{SELECT length(bytea(compress(m, 'cluster', bits => 4, include => '{w1,w2,w3,w4}'))) FROM zoo}, 'bytes', 8000000],
	['commit', q{SELECT modelopt.commit('c', prune(m, 0.1 + 0.8 * random(), include => '{w1,w2,w3,w4}')) FROM zoo}, 'bytes', 8000000],
	['export', q{SELECT length(model_write(m, 'pytorch')) FROM zoo}, 'bytes', 8000000],
	['import', q{SELECT length(bytea(model_read(bytes))) FROM file}, 'bytes', undef],
	['verify', q{SELECT count(*) FROM modelopt.verify()}, 'objects', undef],
	['gc', q{SELECT count(*) FROM modelopt.gc(dry_run => false, grace => '0 s')}, 'objects', undef],
	$ENV{ONNXRUNTIME_LIBRARY} ? (map { [$_->[0], "SELECT count(*) FROM net, $_->[1]", $_->[2], undef] }
		['optimize', q{optimize(m, 'SELECT i, i, ARRAY[i, i, i] FROM generate_series(1, 3000) i', 10, tries => 9)}, 'evaluations'],
		['sensitivity', q{sensitivity(m, 'SELECT i, i, ARRAY[i, i, i] FROM generate_series(1, 3000) i')}, 'evaluations'],
		['calibrate', q{calibrate(m, 'SELECT i, i FROM generate_series(1, 30000) i')}, 'rows']) : ())
{
	my ($operation, $sql, $unit, $total) = @$case;
	my @rows = seen($operation, $sql);
	cmp_ok(scalar(@rows), '>', 0, "$operation is seen");
	my @bad = grep { my @r = split /\|/, $_, -1; $r[2] ne $unit || (defined $total && $r[4] != $total) || ($r[4] ne '' && $r[3] > $r[4]) || $r[5] ne 't' || $r[6] ne 'work' } @rows;
	is(join("\n", @bad), '', "and is what it says");
}
is(on('SELECT count(*) FROM modelopt.stat_progress'), '0', 'what is done is seen no more');

# ---------- cancelled, failed, caught ----------

my $session = $server->on(sub { Session->new('work') });
for my $timeout (5, 20, 60)
{
	$session->run("SET statement_timeout = $timeout");
	$session->run(q{SELECT length(bytea(prune(m, 0.5, include => '{w1,w2,w3,w4}'))), modelopt.commit('cancelled', m) FROM zoo});
	is(on('SELECT count(*) FROM modelopt.stat_progress'), '0', "nothing is left of what was cancelled after $timeout ms");
}
$session->run('SET statement_timeout = 0');
is($session->run(q{DO $$ BEGIN
	BEGIN
		PERFORM model_read('\x504b0304'::bytea);
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
	IF EXISTS (SELECT FROM modelopt.stat_progress) THEN
		RAISE EXCEPTION 'there is something left';
	END IF;
END $$}), '', 'nor of what was caught');
$session->quit;

# ---------- a standby ----------

on(q{SELECT modelopt.commit('fraud', model_agg('w', '{1}')); SELECT modelopt.set_reference('fraud', 'SELECT i FROM generate_series(1, 1000) i')});
my $id = on(q{SELECT model_id FROM modelopt_private.drift_reference});
on("SELECT driver.call($id, 1)");
my $standby = Server->standby_of($server);
my $now = on('SELECT pg_current_wal_insert_lsn()');
$standby->wait_for('postgres', "SELECT pg_last_wal_replay_lsn() >= '$now'");
is($standby->query_on('work', 'SELECT preloaded, entries FROM modelopt.stat_info'), 't|0', 'a standby counts for itself');
$standby->query_on('work', "SELECT driver.call($id, 1) FROM generate_series(1, 7); SELECT driver.observe($id, 1, false, 1, (SELECT array_agg(i) FROM generate_series(1, 1000) i))");
is($standby->query_on('work', q{SELECT model_name, calls FROM modelopt.stat_models}), 'fraud|7', 'what it serves');
is($standby->query_on('work', q{SELECT feature, n, psi, status FROM modelopt.stat_drift}), 'i|1000|0|ok', 'against the references of the primary');
my (undef, undef, $err) = $standby->on(sub { run_sql('work', q{SELECT modelopt.set_reference('fraud', 'SELECT 1 AS x')}) });
like($err, qr/25006: cannot execute modelopt\.put_reference\(\) in a read-only transaction/, 'which it cannot change');
(undef, undef, $err) = $standby->on(sub { run_sql('work', q{SELECT modelopt.snapshot_stats()}) });
like($err, qr/25006/, 'nor keep history');
my $there = $standby->on(sub { Session->new('work') });
is($there->run("SELECT driver.observe($id, 1, false, 1, '{1}')"), 't', 'a session of the standby');
on(q{SELECT modelopt.drop_reference('fraud')});
$now = on('SELECT pg_current_wal_insert_lsn()');
$standby->wait_for('postgres', "SELECT pg_last_wal_replay_lsn() >= '$now'");
is($there->run("SELECT driver.observe($id, 1, false, 1, '{1}')"), 'f', 'learns that the reference is gone');
$there->quit;

done_testing();
