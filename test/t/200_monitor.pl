# What models did: counted whatever becomes of the transaction, by whomever, in
# workers too, and never lost but by a reset.
use strict;
use warnings;

use Test::More;

use Driver qw(create_driver);
use Server;
use Session qw(create_database query run_sql);

my $server = Server->new("shared_preload_libraries = 'modelopt'", 'modelopt.stat_max = 100', 'max_connections = 30', 'max_prepared_transactions = 2');
$server->on(sub {
	query('postgres', 'CREATE ROLE user_a; CREATE ROLE user_b; CREATE ROLE reader IN ROLE pg_read_all_stats; CREATE ROLE owner_m');
	create_database('stats');
	create_driver('stats');
	query('stats', q{
		SELECT modelopt.grant_create('owner_m');
		SET ROLE owner_m;
		SELECT modelopt.commit('fraud', model_agg('w', '{1}')), modelopt.commit('churn', model_agg('w', '{2}'));
		SELECT modelopt.grant_usage('fraud', 'user_a')});
});
sub on { return $server->query_on('stats', @_) }
sub fails { my ($sql) = @_; return $server->on(sub { (run_sql('stats', $sql))[2] }) }
my $fraud = q{FROM modelopt.stat_models WHERE model_name = 'fraud'};

is(on('SELECT preloaded, entries, dealloc, dropped, evicted_calls FROM modelopt.stat_info'), 't|0|0|0|0', 'nothing is counted yet');

# ---------- one session ----------

on(q{SELECT driver.call(1, 1, 10, ms * 1000000) FROM generate_series(1, 100) ms});
is(on("SELECT calls, rows, batches, errors, cache_lookups, cache_hits, input_bytes, output_bytes, runtime, version $fraud"),
	'100|1000|100|0|100|100|8000|4000|runner|1', 'calls, rows and bytes');
# 1 to 100 ms, and what the driver itself takes.
is(on(qq{SELECT min_time BETWEEN 1 AND 1.5, max_time BETWEEN 100 AND 101, abs(mean_time - 50.5) < 0.5, abs(total_time - 5050) < 50,
	abs(stddev_time - sqrt((100 * 100 - 1) / 12.0)) < 0.3, abs(p50_time / 50 - 1) < 0.05, abs(p90_time / 90 - 1) < 0.05,
	abs(p95_time / 95 - 1) < 0.05, abs(p99_time / 99 - 1) < 0.05 $fraud}), join('|', ('t') x 9), 'times, of which the mean and the deviation are exact');
is(on(q{SELECT sum(count), max(cumulative) FROM modelopt.stat_latency WHERE model_name = 'fraud'}), '100|100', 'the histogram has them all');
is(on(q{SELECT duration_seconds_count, duration_seconds_bucket[28], duration_seconds_bucket[1], calls_total, cardinality(duration_seconds) FROM modelopt.prom_predict}),
	'100|100|0|100|28', 'and so has the one for Prometheus');
is(on(q{SELECT bool_and(p.duration_seconds_bucket[i] = (SELECT count(*) FROM generate_series(1, 100) ms WHERE ms * 0.001 * 1.001 <= p.duration_seconds[i]))
	FROM modelopt.prom_predict p, generate_series(1, 28) i}), 't', 'whose buckets are cumulative and exact');
is(on(qq{SELECT first_call <= last_call, last_call <= clock_timestamp(), stats_since = first_call, last_call > clock_timestamp() - interval '1 min' $fraud}),
	't|t|t|t', 'when');

# ---------- what fails ----------

my %class = ('22012' => 'input', '42501' => 'input', '53200' => 'resource', '57014' => 'canceled', 'XX000' => 'model', '0A000' => 'model');
for my $state (sort keys %class)
{
	like(fails("SELECT driver.call(1, 1, 10, 1000, '$state')"), qr/raised as asked/, "$state is raised");
}
is(on("SELECT calls, rows, errors, errors_input, errors_resource, errors_canceled, errors_model $fraud"), '100|1000|6|2|1|1|2', 'errors by class, which are no calls');
like(fails("SET statement_timeout = 100; SELECT driver.call(1, 1, 1, 0, NULL, 10)"), qr/57014/, 'a timeout');
is(on("SELECT errors_canceled, round(p99_time) < 200 $fraud"), '2|t', 'is one that is canceled, and takes no time');

on(q{BEGIN; SELECT driver.call(1, 1); SAVEPOINT s; SELECT driver.call(1, 1); ROLLBACK TO s; SELECT driver.call(1, 1); ROLLBACK});
is(on("SELECT calls $fraud"), '103', 'a rollback takes nothing back');
on(q{DO $$ BEGIN FOR i IN 1 .. 5 LOOP BEGIN PERFORM driver.call(1, 1, 1, 0, CASE WHEN i % 2 = 0 THEN '22000' END); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$});
is(on("SELECT calls, errors_input $fraud"), '106|4', 'what a block catches is counted once');
is(on('SELECT count(*) FROM modelopt.stat_activity'), '0', 'and nothing runs any more');

# ---------- what is counted ----------

on(q{SET modelopt.track = none; SELECT driver.call(1, 1)});
is(on("SELECT calls $fraud"), '106', 'track = none');
on(q{SET modelopt.track_timing = off; SELECT driver.call(1, 1)});
is(on("SELECT calls, (SELECT sum(count) FROM modelopt.stat_latency WHERE model_name = 'fraud') $fraud"), '107|106', 'track_timing = off');
like(fails("SET ROLE user_a; SET modelopt.track = none"), qr/42501/, 'which is not for everybody to set');

# ---------- several users and sessions ----------

for my $role ('user_a', 'user_b')
{
	on("SET ROLE $role; SELECT driver.call(1, 1, 1, 7000000) FROM generate_series(1, 10); SELECT driver.call(2, 1); SELECT driver.call(0, 0)");
}
is(on(q{SELECT u.rolname, s.model_name, s.calls FROM modelopt.stat_models s JOIN pg_roles u ON u.oid = s.userid WHERE u.rolname ~ '^user_' ORDER BY 1, 2 NULLS LAST}),
	"user_a|churn|1\nuser_a|fraud|10\nuser_a||1\nuser_b|churn|1\nuser_b|fraud|10\nuser_b||1", 'an entry of each user');
is(on(q{SELECT s.calls = sum(m.calls), abs(s.mean_time * s.calls / (sum(m.total_time) * s.calls / (s.calls - 1)) - 1) < 1e-9,
	s.max_time = max(m.max_time) FROM modelopt.stat_summary s JOIN modelopt.stat_models m USING (model_name) WHERE model_name = 'fraud' GROUP BY s.calls, s.mean_time, s.max_time}),
	't|t|t', 'the summary adds up what is of all users');

# Only who may see a model sees which it is.
my $seen = q{SELECT coalesce(model_name, '-'), coalesce(model_id::text, '-'), sum(calls) FROM modelopt.stat_models GROUP BY 1, 2 ORDER BY 1, 2};
is(on("SET ROLE user_a; $seen"), "-|-|2\n-|0|2\nfraud|1|127", 'a user who may use one model');
is(on("SET ROLE user_b; $seen"), "-|-|129\n-|0|2", 'and one who may not');
is(on("SET ROLE reader; $seen"), "-|0|2\nchurn|2|2\nfraud|1|127", 'and one who reads all statistics');
is(on("SET ROLE user_b; SELECT count(*) FROM modelopt.prom_predict"), '0', 'exporters are told no more');
is(on("SET ROLE user_b; SELECT count(*) FROM modelopt.stat_latency WHERE model_id IS NOT NULL AND model_id <> 0"), '0', 'nor are histograms');
is($server->query_on('postgres', q{CREATE EXTENSION modelopt; SELECT coalesce(model_name, '-'), model_id, sum(calls) FROM modelopt.stat_models GROUP BY 1, 2 ORDER BY 2}),
	"-|0|2\n-|1|127\n-|2|2", 'models of another database have no names');

# ---------- what runs now ----------

my $busy = $server->on(sub { Session->new('stats') });
$busy->start('SET ROLE user_b; SELECT driver.call(1, 1, 3, 0, NULL, 30)');
$server->wait_for('stats', "SELECT EXISTS (SELECT FROM modelopt.stat_activity WHERE phase = 'infer')");
is(on(q{SELECT a.model_name, a.version, a.phase, r.rolname, p.query ~ 'driver.call', a.started BETWEEN p.query_start - interval '1 s' AND clock_timestamp()
	FROM modelopt.stat_activity a JOIN pg_roles r ON r.oid = a.userid JOIN pg_stat_activity p ON p.pid = a.pid}), 'fraud|1|infer|user_b|t|t', 'who runs what');
is(on(q{SET ROLE user_b; SELECT coalesce(model_name, '-'), coalesce(version::text, '-'), phase FROM modelopt.stat_activity}), '-|-|infer', 'and not which it is');
on('SELECT pg_cancel_backend(pid) FROM modelopt.stat_activity');
like($busy->finish, qr/canceling statement/, 'it is canceled');
$busy->quit;
is(on('SELECT count(*) FROM modelopt.stat_activity'), '0', 'and gone');
my $canceled = on("SELECT sum(errors_canceled), sum(calls) $fraud");
$busy = $server->on(sub { Session->new('stats') });
$busy->start('SET ROLE user_b; SELECT driver.call(1, 1, 3, 0, NULL, 30)');
$server->wait_for('stats', "SELECT EXISTS (SELECT FROM modelopt.stat_activity WHERE phase = 'infer')");
on('SELECT pg_terminate_backend(pid) FROM modelopt.stat_activity');
eval { $busy->finish };
$server->wait_for('stats', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'});
is(on("SELECT (sum(errors_canceled) - 1) || '|' || sum(calls) $fraud"), $canceled, 'an invocation whose session is ended is one that was canceled');
is(on('SELECT count(*) FROM modelopt.stat_activity'), '0', 'and runs no more');

# ---------- workers ----------

on(q{CREATE TABLE numbers AS SELECT i FROM generate_series(1, 20000) i; ALTER TABLE numbers SET (parallel_workers = 2); ANALYZE numbers});
my $parallel = q{SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;};
like(on("$parallel EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT sum(driver.call(2, 1, i)) FROM numbers"), qr/Workers Launched: [12]/, 'workers predict');
is(on(q{SELECT sum(calls), sum(rows) FROM modelopt.stat_models WHERE model_name = 'churn'}), 20002 . '|' . (20000 * 20001 / 2 + 2), 'and what they did adds up');

# ---------- reset ----------

like(fails("SET ROLE user_a; SELECT modelopt.reset_stats('fraud')"), qr/42501: permission denied for model "fraud"/, 'a user resets nothing');
like(fails("SET ROLE user_a; SELECT modelopt.reset_stats()"), qr/42501/, 'nor everything');
like(fails("SET ROLE owner_m; SELECT modelopt.reset_stats()"), qr/42501/, 'nor does the owner of a model');
on("SET ROLE owner_m; SELECT modelopt.reset_stats('fraud', minmax_only => true)");
is(on("SELECT sum(calls), count(min_time), count(max_time), count(mean_time), bool_and(minmax_stats_since > stats_since) $fraud"), '127|0|0|3|t', 'shortest and longest times alone');
on('SELECT driver.call(1, 1, 1, 3000000)');
is(on("SELECT count(min_time), round(max(max_time)) $fraud"), '1|3', 'which begin anew');
on("SET ROLE owner_m; SELECT modelopt.reset_stats('fraud', role => 'user_b')");
is(on("SELECT sum(calls), count(*) $fraud"), '118|2', 'one user');
on("SET ROLE owner_m; SELECT modelopt.reset_stats('fraud', 2)");
is(on("SELECT sum(calls) $fraud"), '118', 'another version');
on("SET ROLE owner_m; SELECT modelopt.reset_stats('fraud', 1)");
is(on(q{SELECT count(*) FILTER (WHERE model_name = 'fraud'), count(*) FILTER (WHERE model_name = 'churn') > 0 FROM modelopt.stat_models}), '0|t', 'one version');
like(fails("SELECT modelopt.reset_stats('fraud', database => 'postgres')"), qr/22023/, 'but not in another database');
like(fails("SELECT modelopt.reset_stats(version => 1)"), qr/22023/, 'and no version of nothing');
on('SELECT modelopt.reset_stats()');
is(on(q{SELECT (SELECT count(*) FROM modelopt.stat_models), evicted_calls, stats_reset > clock_timestamp() - interval '1 min' FROM modelopt.stat_info}), '0|0|t', 'everything');
is(on(q{SELECT count(*) > 3 FROM modelopt.audit WHERE operation = 'reset statistics'}), 't', 'the audit tells of it');

{
	my $counting = $server->on(sub { Session->new('stats') });
	$counting->run('BEGIN; SELECT driver.call(1, 1) FROM generate_series(1, 5)');
	on('SELECT modelopt.reset_stats()');
	$counting->run('COMMIT');
	is(on("SELECT calls $fraud"), '5', 'what another session has not shown yet is not forgotten');
	$counting->quit;
	on('SELECT modelopt.reset_stats()');
}

# ---------- eviction ----------

on('SELECT driver.call(1, 1) FROM generate_series(1, 50)') for 1 .. 5;
on('SELECT driver.calls(300, 300)');
is(on("SELECT calls $fraud"), '250', 'what is used more is not evicted');
on('SELECT driver.calls(10000, 500)');
# Models that there are none of go when somebody looks, so that is done before.
my $all = q{DO 'BEGIN PERFORM FROM modelopt.stat_models; END'; SELECT (SELECT coalesce(sum(calls), 0) FROM modelopt.stat_models) + evicted_calls, (SELECT coalesce(sum(rows), 0) FROM modelopt.stat_models) + evicted_rows,
	entries <= 100, dealloc > 0 FROM modelopt.stat_info};
is(on($all), '10550|10550|t|t', 'what is evicted stays in the totals');
{
	my @sessions = map { $server->on(sub { Session->new('stats') }) } 1 .. 8;
	$_->start('SELECT driver.calls(25000, 400); SELECT driver.calls(100, 3); BEGIN; SELECT driver.calls(1000, 150); ROLLBACK') for @sessions;
	$_->finish for @sessions;
	$_->quit for @sessions;
}
$server->wait_for('stats', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'});
is(on($all), (10550 + 8 * 26100) . '|' . (10550 + 8 * 26100) . '|t|t', 'nothing is lost of eight sessions that evict one another');
is(on('SELECT dropped FROM modelopt.stat_info'), '0', 'all found a place');

# ---------- models that are dropped ----------

on('SELECT driver.call(1, 1), driver.call(2, 1)');
on(q{BEGIN; SELECT modelopt.drop('churn'); ROLLBACK});
on(q{DO $$ BEGIN BEGIN PERFORM modelopt.drop('churn'); RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; END $$});
is(on(q{SELECT count(*) FROM modelopt.stat_summary WHERE model_name = 'churn'}), '1', 'a drop that is rolled back');
on(q{SELECT modelopt.drop('churn')});
my $entries = on('SELECT entries FROM modelopt.stat_info');
is(on(q{SELECT count(*) FROM modelopt.stat_summary WHERE model_id = 2}), '0', 'a drop takes the statistics along');
on('SELECT driver.call(2, 1)');
is(on('SELECT count(*) FROM modelopt.stat_summary WHERE model_id = 2; SELECT entries FROM modelopt.stat_info'), "0\n$entries", 'and what is counted later goes when somebody looks');

on(q{SELECT modelopt.commit('later', model_agg('w', '{1}'))});
my $later = on(q{SELECT id FROM modelopt_private.named_model WHERE name = 'later'});
on("SELECT driver.call($later, 1)");
on(q{BEGIN; SELECT modelopt.drop('later'); PREPARE TRANSACTION 'back'});
is(on(q{SELECT calls FROM modelopt.stat_summary WHERE model_name = 'later'}), '1', 'a drop that is prepared');
on(q{ROLLBACK PREPARED 'back'});
is(on(q{SELECT calls FROM modelopt.stat_summary WHERE model_name = 'later'}), '1', 'and rolled back');
on(q{BEGIN; SELECT modelopt.drop('later'); PREPARE TRANSACTION 'on'});
on("SELECT driver.call($later, 1)");
my $evicted = on('SELECT evicted_calls FROM modelopt.stat_info');
on(q{COMMIT PREPARED 'on'});
is(on("SELECT count(*) FROM modelopt.stat_summary WHERE model_id = $later; SELECT evicted_calls - $evicted FROM modelopt.stat_info"), "0\n2",
	'or committed, takes the statistics along');

{
	my $maker = $server->on(sub { Session->new('stats') });
	$maker->run(q{BEGIN; SELECT modelopt.commit('new', model_agg('w', '{1}')); SELECT driver.call(id, 1) FROM modelopt_private.named_model WHERE name = 'new'; SELECT entries > 0 FROM modelopt.stat_info});
	is(on('SELECT count(*) FROM modelopt.stat_summary WHERE model_name IS NULL AND model_id <> 0'), '1', 'a model that is not committed yet');
	$maker->run('COMMIT');
	is(on(q{SELECT calls FROM modelopt.stat_summary WHERE model_name = 'new'}), '1', 'is counted like others');
	$maker->quit;
}
is(on($all), join('|', (10550 + 8 * 26100 + 6) x 2, 't', 't'), 'but not out of the totals');
on(q{DROP EXTENSION modelopt; CREATE EXTENSION modelopt; SELECT modelopt.commit('other', model_agg('w', '{1}'))});
is(on(q{SELECT count(*) FROM modelopt.stat_models WHERE model_name = 'other'}), '0', 'a new extension does not inherit statistics');

# ---------- every column says what it is ----------

is(on(q{SELECT string_agg(c.relname || '.' || a.attname, ', ') FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace = 'modelopt'::regnamespace AND c.relname ~ '^(stat|prom)_' AND a.attnum > 0 AND coalesce(col_description(c.oid, a.attnum), '') = ''}), '', 'every column has a comment');

done_testing();
