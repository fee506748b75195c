# Statistics are kept over a clean restart and lost by a crash; a file that is not
# as it was written is refused; and there is none of it where nothing is preloaded.
use strict;
use warnings;

use Test::More;

use Driver qw(create_driver);
use Server;
use Session qw(create_database query run_sql);

# ---------- not preloaded ----------

create_database('unloaded');
create_driver('unloaded');
query('unloaded', q{SELECT modelopt.commit('m', model_agg('w', '{1}'))});
is(query('unloaded', q{LOAD 'modelopt'; SELECT driver.call(1, 1), driver.observe(1, 1, false, 1, '{1}')}), '1|f', 'invocations are what they were without');
is(query('unloaded', 'SELECT preloaded, entries IS NULL, dealloc IS NULL, shared_bytes IS NULL FROM modelopt.stat_info'), 'f|t|t|t', 'stat_info says it without an error');
for my $view (split /\n/, query('unloaded', q{
	SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'modelopt'::regnamespace AND c.relkind = 'v' AND c.relname ~ '^(stat|prom)_'
		AND c.relname NOT IN ('stat_info', 'stat_references', 'stat_history', 'stat_drift_history', 'prom_stat') ORDER BY 1}))
{
	my (undef, undef, $err) = run_sql('unloaded', "SELECT * FROM modelopt.$view");
	like($err, qr/ERROR:  55000: modelopt must be loaded with shared_preload_libraries.*HINT:  Add modelopt to shared_preload_libraries/s, "modelopt.$view says what to set");
}
is(query('unloaded', q{
	SELECT modelopt.set_reference('m', 'SELECT i FROM generate_series(1, 1000) i'), modelopt.set_drift_threshold('m', 'psi', 0.1, 0.3);
	SELECT count(*) FROM modelopt.prom_stat}), "1000|\n0", 'references can be made all the same');
is(query('unloaded', q{SET modelopt.stat_max = 200; SHOW modelopt.stat_max}), '200', 'settings are there');

# ---------- over a restart ----------

my $server = Server->new("shared_preload_libraries = 'modelopt'", 'modelopt.drift_min_rows = 100', 'modelopt.stat_flush_interval = 0');
my $file = "$server->{folder}/data/pg_stat/modelopt.stat";
$server->on(sub {
	create_database('stats');
	create_driver('stats');
	query('stats', q{
		SELECT modelopt.commit('m', model_agg('w', '{1}'));
		SELECT modelopt.set_reference('m', 'SELECT i FROM generate_series(1, 1000) i')});
});
sub on { return $server->query_on('stats', @_) }
sub slurp { open my $from, '<:raw', $file or die "$file: $!"; local $/ = undef; return readline $from }
sub spew { my ($bytes) = @_; open my $to, '>:raw', $file or die $!; print $to $bytes; close $to; return }
sub log_since { my ($from) = @_; open my $log, '<', "$server->{folder}/log" or die $!; seek $log, $from, 0; local $/ = undef; return readline($log) // '' }

sub fill
{
	on(q{
		SELECT driver.call(1, 1, i, i * 1000000) FROM generate_series(1, 50) i;
		SELECT driver.observe(1, 1, false, 1, (SELECT array_agg(i) FROM generate_series(1, 1000) i))});
	return;
}
my $everything = q{SELECT s.* FROM modelopt.stat_models s; SELECT * FROM modelopt.stat_latency; SELECT feature, n, psi, ks, status FROM modelopt.stat_drift;
	SELECT dealloc, evicted_calls, stats_reset, drift_features FROM modelopt.stat_info};
fill();
my $before = on($everything);
like($before, qr/\|50\|1275\|/, 'something is counted');
like($before, qr/i\|1000\|0\|0\|ok/, 'and compared');
ok(!-e $file, 'there is no file while the server runs');
$server->halt;
ok(-e $file, 'there is one while it does not');
my $saved = slurp();
$server->start;
is(on($everything), $before, 'everything is kept over a restart');
is(on('SELECT loaded_from_file FROM modelopt.stat_info'), 't', 'and stat_info says so');
ok(!-e $file, 'the file is gone, so that no backup has it');
fill();
is(on('SELECT calls, (SELECT n FROM modelopt.stat_drift) FROM modelopt.stat_models'), '100|2000', 'counting goes on');

# ---------- a file that is damaged ----------

my $changed = $saved;
substr($changed, 400, 1) ^= "\x40";
my $older = $saved;
substr($older, 8, 4) = pack 'V', 9;
for my $case (
	['a byte that is another', $changed],
	['a file that is cut', substr $saved, 0, length($saved) - 5],
	['one that is cut in its header', substr $saved, 0, 11],
	['one that is empty', ''],
	['one that is longer', $saved . 'x'],
	['one of another server', $older],
	['one that is none', 'x' x 5000])
{
	my ($what, $bytes) = @$case;
	$server->halt;
	spew($bytes);
	my $from = -s "$server->{folder}/log";
	$server->start;
	like(log_since($from), qr/LOG:  ignoring invalid statistics of models in file "pg_stat\/modelopt.stat"/, "$what is refused");
	is(on('SELECT count(*), (SELECT loaded_from_file FROM modelopt.stat_info), (SELECT n FROM modelopt.stat_drift) FROM modelopt.stat_models'), '0|f|0', 'and counting begins anew');
	ok(!-e $file, 'without the file');
}
$server->halt;
spew($saved);
$server->start;
is(on('SELECT calls FROM modelopt.stat_models'), '50', 'one that is whole is taken');

# ---------- other windows than before ----------

$server->configure('modelopt.drift_windows = 5');
$server->halt;
$server->start;
is(on('SELECT calls, (SELECT loaded_from_file FROM modelopt.stat_info), (SELECT n FROM modelopt.stat_drift) FROM modelopt.stat_models'), '50|t|0', 'counts of other windows are lost, and nothing else');
fill();
$server->halt;
$server->start;
is(on('SELECT calls, (SELECT n FROM modelopt.stat_drift) FROM modelopt.stat_models'), '100|1000', 'and kept from then on');
$changed = do { $server->halt; slurp() };
substr($changed, -100, 1) ^= "\x01";
spew($changed);
$server->configure('modelopt.drift_windows = 6');
$server->start;
is(on('SELECT count(*) FROM modelopt.stat_models'), '0', 'damage among counts that are skipped is damage');
on('SELECT modelopt.reset_stats()');

# ---------- less room than before ----------

on('SELECT driver.calls(300, 300)');
$server->halt;
$server->configure('modelopt.stat_max = 100');
$server->start;
is(on('SELECT entries, evicted_calls FROM modelopt.stat_info'), '100|200', 'what has no room after a restart is in the totals');

# ---------- without saving, and after a crash ----------

$server->configure('modelopt.stat_save = off');
$server->halt;
$server->start;
$server->halt;
ok(!-e $file, 'stat_save = off writes nothing');
$server->configure('modelopt.stat_save = on');
$server->start;
is(on('SELECT count(*) FROM modelopt.stat_models'), '0', 'and nothing is kept');
fill();
my $reset = on('SELECT stats_reset FROM modelopt.stat_info');
my $victim = $server->on(sub { Session->new('stats') });
$victim->run('SELECT driver.call(1, 1)');
$victim->start('SELECT driver.call(1, 1, 1, 0, NULL, 60)');
$server->wait_for('stats', 'SELECT EXISTS (SELECT FROM modelopt.stat_activity)');
kill KILL => on('SELECT pid FROM modelopt.stat_activity');
eval { $victim->finish };
for (1 .. 200)
{
	last if $server->on(sub { (run_sql('stats', 'SELECT 1'))[0] }) == 0;
	select undef, undef, undef, 0.1;
}
is(on("SELECT count(*), (SELECT stats_reset > '$reset' FROM modelopt.stat_info), (SELECT count(*) FROM modelopt.stat_activity) FROM modelopt.stat_models"), '0|t|0', 'a crash loses statistics, and says when');
fill();
is(on('SELECT calls FROM modelopt.stat_models'), '50', 'and counting begins anew');

done_testing();
