# The runner: what it may do, how it ends, and that the session outlives it.
use strict;
use warnings;

use Test::More;

use FindBin;
use Server;
use Session qw(create_database query run_command run_sql);

plan skip_all => 'there is no ONNX Runtime' unless $ENV{ONNXRUNTIME_LIBRARY};

create_database('runners');
query('runners', q{
	CREATE TABLE runs (number int, name text, data bytea, inputs jsonb, expect text, timeout int);
});
my ($status, $rows, $err) = run_command('', 'python3', '-B', "$FindBin::RealBin/../hostile/runs.py");
die $err if $status;
query('runners', $rows);
query('runners', q{
	CREATE TABLE zoo AS SELECT name, model_read(data) AS m, inputs FROM runs
		WHERE name IN ('A MaxPool of minutes', 'A Loop without an end', 'NaN and infinities pass',
			'Div of the least int64 by -1', 'Div of the least int64 by -1 of constants', 'Texts for two thousand million rows',
			'A label that no double is');
});
my $QUICK = q{SELECT predict_json(m, inputs) FROM zoo WHERE name = 'NaN and infinities pass';};
my $RIGHT = '{"y": ["NaN", "Infinity", "-Infinity"]}';
my $LONG = q{SELECT predict_json(m, inputs) FROM zoo WHERE name = 'A MaxPool of minutes';};

# The processes that a backend has started: its runner, if it has one.
sub children
{
	my ($parent) = @_;
	my @found;
	for my $path (glob '/proc/[0-9]*/stat')
	{
		open my $file, '<', $path or next;
		my $stat = readline($file) // next;
		my ($pid, $state, $ppid) = $stat =~ /^(\d+) \(.*\) (\S) (\d+)/s;
		push @found, $pid if $ppid == $parent && $state ne 'Z';
	}
	return @found;
}

sub proc
{
	my ($pid, $name) = @_;
	open my $file, '<', "/proc/$pid/$name" or return "$!";
	local $/ = undef;
	return readline($file) // '';
}

# Waits for something; it is as good as never when it takes a minute.
sub comes_true
{
	my ($test) = @_;
	for (1 .. 1200)
	{
		return 1 if $test->();
		select undef, undef, undef, 0.05;
	}
	return 0;
}

# A session, the process it is served by, and its runner.
sub start_session
{
	my $session = Session->new('runners');
	my $backend = $session->run('SELECT pg_backend_pid();');
	is($session->run($QUICK), $RIGHT, 'a session predicts');
	my @runners = children($backend);
	is(scalar @runners, 1, 'in one process of its own');
	return ($session, $backend, @runners);
}

# Starts a run that takes minutes, and waits until it is on its way.
sub start_long
{
	my ($session, $backend) = @_;
	$session->start($LONG);
	ok(comes_true(sub {
		query('runners', "SELECT count(*) FROM pg_stat_activity WHERE pid = $backend AND state = 'active' AND wait_event_type = 'Extension'")
	}), 'a long run is on its way');
	return;
}

my ($session, $backend, $runner) = start_session();

is($session->run(q{SELECT label FROM zoo, classify(m, '{0.25,0.75}'::real[]) WHERE name = 'A label that no double is';}),
	'9007199254740993', 'a label has all of its digits');
like($session->run(q{SELECT predict(m, '{a}'::text[]) FROM zoo WHERE name = 'Texts for two thousand million rows';}),
	qr/ERROR:  54000: inputs of a prediction are too large/, 'rows that a model wants without an end are not made up');
cmp_ok((proc($backend, 'status') =~ /^VmHWM:\s+(\d+) kB/m)[0], '<', 1 << 20, 'in any memory');

# ---------- what it may do ----------

my $limits = proc($runner, 'limits');
like($limits, qr/^Max core file size +0 /m, 'it leaves no core');
like($limits, qr/^Max file size +0 /m, 'it writes no file');
my $state = proc($runner, 'status');
like($state, qr/^NoNewPrivs:\s+1$/m, 'it gains no rights by programs that it runs');
like($state, qr/^Seccomp:\s+2$/m, 'its system calls are filtered');
SKIP:
{
	skip 'only root looks into processes of others', 3 unless $> == 0;
	unlike(proc($runner, 'environ'), qr/PG|HOME|PATH|USER/, 'the server\'s environment is not there');
	isnt(readlink "/proc/$runner/cwd", readlink "/proc/$backend/cwd", 'it is not in the data directory');
	my @files = grep { defined } map { readlink } glob "/proc/$runner/fd/*";
	is(scalar(grep { m{/data/|pg_|base/} } @files), 0, 'no file of the server is open in it') or diag(join "\n", @files);
}

# ---------- it ends ----------

kill KILL => $runner;
ok(comes_true(sub { !children($backend) }), 'the runner is killed between two calls');
like($session->run($QUICK), qr/^(?:\Q$RIGHT\E|.*ERROR:  38000: )/, 'the next call says so or starts another');
is($session->run($QUICK), $RIGHT, 'the one after it is right');

start_long($session, $backend);
kill KILL => children($backend);
like($session->finish, qr/ERROR:  38000: model runner ended by signal 9/, 'the runner is killed in a run, which is an error');
is($session->run($QUICK), $RIGHT, 'and the next call is right');

for my $signal (qw(SEGV ABRT FPE TERM))
{
	start_long($session, $backend);
	kill $signal => children($backend);
	like($session->finish, qr/ERROR:  38000: model runner ended /, "so is one that ends by SIG$signal");
}
is($session->run($QUICK), $RIGHT, 'the next call is right again');

start_long($session, $backend);
is(query('runners', "SELECT pg_cancel_backend($backend)"), 't', 'the query is cancelled');
like($session->finish, qr/ERROR:  57014: /, 'which ends it, whatever the kernel is at');
is($session->run($QUICK), $RIGHT, 'and the session predicts');
is($session->run('SELECT pg_backend_pid();'), $backend, 'in the same process all the time');

start_long($session, $backend);
my @last = children($backend);
is(query('runners', "SELECT pg_terminate_backend($backend, 10000)"), 't', 'the session is terminated');
ok(comes_true(sub { !grep { -e "/proc/$_" } @last }), 'and its runner is gone');

($session, $backend, $runner) = start_session();
$session->quit;
ok(comes_true(sub { !-e "/proc/$runner" }), 'a runner ends with its session');

($session, $backend, $runner) = start_session();
start_long($session, $backend);
my $other = Session->new('runners');
is($other->run($QUICK), $RIGHT, 'one session predicts while another one is at it');
kill KILL => $runner;
$session->finish;
$session->quit;
$other->quit;

# A backend that is killed tells nobody.
my $doomed = Server->new;
$doomed->on(sub {
	create_database('runners');
	my $killed = Session->new('runners');
	my $pid = $killed->run('SELECT pg_backend_pid();');
	like($killed->run(q{SELECT predict(set_graph(model_agg(name, data ORDER BY name), 'input(1) a:linear'), '{1}'::real[])
		FROM (VALUES ('a.weight', '{{2}}'::real[])) t (name, data);}), qr/^\{2\}$/, 'on a server of its own');
	my @orphans = children($pid);
	is(scalar @orphans, 1, 'a session has a runner');
	kill KILL => $pid;
	ok(comes_true(sub { !-e "/proc/$orphans[0]" }), 'which is gone when the session is killed');
});

# ---------- in the server's process ----------

$session = Session->new('runners');
$backend = $session->run('SELECT pg_backend_pid();');
is($session->run("SET modelopt.run_mode = inprocess; $QUICK"), $RIGHT, 'a session predicts in the server\'s process');
is(scalar children($backend), 0, 'without another one');
like($session->run(q{SET statement_timeout = 300; SELECT predict_json(m, inputs) FROM zoo WHERE name = 'A Loop without an end';
	RESET statement_timeout;}), qr/ERROR:  57014: /, 'a loop without an end can be cancelled there');
is($session->run($QUICK), $RIGHT, 'after which the session predicts');
# An interrupt that asks for something else is no end of the run.
my $LOOP = q{SELECT predict_json(m, inputs) FROM zoo WHERE name = 'A Loop without an end';};
$session->start($LOOP);
ok(comes_true(sub { (proc($backend, 'stat') =~ /\) (\S)/)[0] eq 'R' }), 'a loop runs in it');
query('runners', "SELECT pg_log_backend_memory_contexts($backend) FROM generate_series(1, 3), pg_sleep(0.1)");
select undef, undef, undef, 0.5;
is(query('runners', "SELECT state FROM pg_stat_activity WHERE pid = $backend"), 'active', 'which goes on when the session is asked for its memory');
query('runners', "SELECT pg_cancel_backend($backend)");
like($session->finish, qr/^ERROR:  57014: /, 'until it is cancelled');
is($session->run($QUICK), $RIGHT, 'and the session predicts');
like($session->run("SET modelopt.run_memory_limit = '2GB'; $QUICK RESET modelopt.run_memory_limit;"),
	qr/ERROR:  55000: modelopt\.run_memory_limit cannot change any more/, 'the limit of an open runtime stays');
SKIP:
{
	my $result = $session->run(q{SELECT predict_json(m, inputs) FROM zoo WHERE name = 'Div of the least int64 by -1';});
	skip 'this processor divides by -1', 3 if $result =~ /^\{/;
	like($result, qr/ERROR:  22P01: floating-point exception/, 'a division that the processor refuses is an error');
	like($session->run($QUICK), qr/ERROR:  55000: ONNX Runtime is not usable any more in this session/, 'which says what is broken');
	is($session->run("RESET modelopt.run_mode; $QUICK SELECT pg_backend_pid();"), "$RIGHT\n$backend", 'the session goes on with a runner');
}
$session->quit;
$session = Session->new('runners');
$backend = $session->run('SELECT pg_backend_pid();');
# An answer where the processor or the runtime divides by -1.
like($session->run(q{SET modelopt.run_mode = inprocess; SELECT predict_json(m, inputs) FROM zoo WHERE name = 'Div of the least int64 by -1 of constants';}),
	qr/^(?:\{|ERROR:  (?:22P01|38000): )/, 'such a division while the model is loaded is an error too');
is($session->run('SELECT pg_backend_pid();'), $backend, 'and the session lives');
$session->quit;

# ---------- the library ----------

$session = Session->new('runners');
for (['/nowhere/libonnxruntime.so.1', 'that is not there'], ['libz.so.1', 'that is another library'])
{
	my ($path, $what) = @$_;
	like($session->run("SET modelopt.onnxruntime_library = '$path'; $QUICK"),
		qr/ERROR:  58P01: could not open ONNX Runtime in "\Q$path\E".*HINT:  .*modelopt\.onnxruntime_library/s, "a library $what is one error");
}
is($session->run(q{SELECT num_parameters(m) FROM zoo WHERE name = 'NaN and infinities pass';}), '0', 'that nothing else is affected by');
is($session->run("RESET modelopt.onnxruntime_library; $QUICK"), $RIGHT, 'and with the right one the same session predicts');
$session->quit;

query('runners', 'CREATE ROLE guest LOGIN; GRANT SELECT ON zoo TO guest');
for my $setting (qw(onnxruntime_library run_mode run_memory_limit max_output_bytes))
{
	my $value = $setting eq 'run_mode' ? 'inprocess' : $setting eq 'onnxruntime_library' ? '/tmp/x.so' : '500MB';
	my ($failed, $out, $error) = run_sql('runners', "SELECT num_parameters(m) FROM zoo LIMIT 1; SET modelopt.$setting = '$value'", '--username=guest');
	like($error, qr/ERROR:  42501: permission denied to set parameter "modelopt\.$setting"/, "only a superuser sets $setting");
}

done_testing();
