# Predictions where there is more than one process or one server: in parallel
# workers, on a standby, through a pool of connections.
use strict;
use warnings;

use File::Temp ();
use Test::More;

use Programs qw(wait_until);
use Server;
use Session qw(create_database query run_command run_sql);

plan skip_all => 'there is no ONNX Runtime' unless $ENV{ONNXRUNTIME_LIBRARY};

# y = x1 + 2 x2, by two layers.
my $MODEL = q{SELECT set_graph(model_agg(name, data ORDER BY name), 'input(2) a:linear b:linear') AS m
	FROM (VALUES ('a.weight', '{{1,0},{0,2}}'::real[]), ('b.weight', '{{1,1}}')) t (name, data)};
my $FILL = qq{
	CREATE TABLE zoo AS $MODEL;
	SELECT modelopt.commit('adder', m) FROM zoo;
	CREATE TABLE samples AS SELECT i AS id, ARRAY[i, 1]::real[] AS features FROM generate_series(1, 5000) i;
	ANALYZE samples;
};
# The sum of i + 2 over all of them.
my $SUM = 5000 * 5001 / 2 + 2 * 5000;
my $BY_NAME = q{SELECT sum((predict('adder', features))[1]::bigint) FROM samples};

# ---------- parallel workers ----------

create_database('places');
query('places', $FILL);
my $PARALLEL = q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
	SET max_parallel_workers_per_gather = 2;};
is(query('places', $BY_NAME), $SUM, 'a table is predicted');
like(query('places', "$PARALLEL EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $BY_NAME"),
	qr/Workers Launched: [12]\n.*Partial Aggregate.*Parallel Seq Scan on samples/s, 'parallel workers do it');
is(query('places', "$PARALLEL $BY_NAME"), $SUM, 'with the same result');
is(query('places', "$PARALLEL SELECT sum((predict(m, features))[1]::bigint) FROM zoo, samples"), $SUM, 'also of a value');

# ---------- what changes meanwhile ----------

query('places', q{
	SELECT modelopt.commit('adder', model_set(modelopt.get('adder'), 'b.weight', '{{10,10}}'::real[]), 'ten times');
	SELECT modelopt.alias('adder', 'champion', 'adder#1', reason => 'first');
});
is(query('places', q{SELECT (predict('adder#1', ARRAY[1, 1]::real[]))[1], (predict('adder#2', ARRAY[1, 1]::real[]))[1]}), '3|30',
	'two versions at once');
my $reader = Session->new('places');
my $ONE = q{SELECT (predict('adder@champion', features))[1] FROM samples};
is($reader->run("BEGIN; DECLARE rows CURSOR FOR $ONE ORDER BY id; FETCH 1 FROM rows;"), '3', 'a statement has begun');
query('places', q{SELECT modelopt.alias('adder', 'champion', 'adder#2', reason => 'moved')});
is($reader->run('FETCH 1 FROM rows;'), '4', 'it goes on with its version when the alias moves');
is($reader->run("$ONE WHERE id = 1;"), '30', 'and the next statement has the new one');
$reader->run('COMMIT;');
is($reader->run("BEGIN; DECLARE rows CURSOR FOR $ONE ORDER BY id; FETCH 1 FROM rows;"), '30', 'another statement has begun');
query('places', q{SELECT modelopt.drop('adder')});
is($reader->run('FETCH 1 FROM rows;'), '40', 'it goes on when the model is dropped');
like($reader->run("COMMIT; $ONE WHERE id = 1;"), qr/ERROR:  42704: /, 'and the next one says that there is none');
$reader->quit;

# ---------- a standby ----------

my $primary = Server->new("wal_level = replica", 'max_wal_senders = 2');
my $standby = Server->standby_of($primary);
$primary->on(sub { create_database('places'); query('places', $FILL) });
$standby->wait_for('postgres', q{SELECT count(*) = 1 FROM pg_database WHERE datname = 'places'});
$standby->wait_for('places', q{SELECT to_regclass('samples') IS NOT NULL});
$standby->wait_for('places', 'SELECT count(*) = 5000 FROM samples');
is($standby->query_on('places', $BY_NAME), $SUM, 'a standby predicts');
is($standby->query_on('places', 'SELECT sum((predict(m, features))[1]::bigint) FROM zoo, samples'), $SUM, 'also with a value');

# ---------- a pool ----------

SKIP:
{
	my ($pool_program) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
	skip 'there is no pgbouncer', 3 unless $pool_program;
	my $folder = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);
	chmod 0777, "$folder";
	open my $file, '>', "$folder/pool.ini" or die $!;
	print $file <<"INI";
[databases]
places = host=$primary->{folder} port=5432 user=postgres
[pgbouncer]
listen_addr =
listen_port = 5432
unix_socket_dir = $folder
auth_type = any
pool_mode = transaction
default_pool_size = 2
logfile = $folder/log
pidfile = $folder/pid
INI
	close $file;
	my ($status, $out, $err) = run_command('', $primary->as_user, $pool_program, '--daemon', "$folder/pool.ini");
	is($status, 0, 'a pool of two connections') or diag($out, $err);
	# It goes into the background before it listens.
	wait_until('the pool', sub { -S "$folder/.s.PGSQL.5432" });
	local $ENV{PGHOST} = "$folder";
	my @clients = map { Session->new('places') } 1 .. 4;
	$_->start("$BY_NAME;") for @clients;
	is(join(' ', map { $_->finish } @clients), join(' ', ($SUM) x 4), 'four clients predict through it');
	is(join(' ', map { $_->run("BEGIN; $BY_NAME; COMMIT;") } @clients), join(' ', ($SUM) x 4), 'again, in transactions');
	$_->quit for @clients;
	open my $pid, '<', "$folder/pid" or die $!;
	kill INT => int readline $pid;
}

done_testing();
