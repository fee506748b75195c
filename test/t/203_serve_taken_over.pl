# A model that has taken the runner over: what it can do to the backend, and what
# system calls are left to it.
use strict;
use warnings;

use File::Temp ();
use FindBin;
use Test::More;

use Server;
use Session qw(create_database query run_command);

my $root = "$FindBin::RealBin/../..";
my $scratch = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);

sub compile
{
	my ($program, @sources) = @_;
	my ($status, $out, $err) = run_command('', 'gcc', '-O1', '-Wall', "-I$root/src", '-o', "$scratch/$program", @sources);
	is($status, 0, "there is a program $program") or BAIL_OUT($out . $err);
	return "$scratch/$program";
}

# ---------- the prison ----------

my $escape = compile('escape', "$root/test/hostile/escape.c", "$root/src/serve/runner/prison.c", '-lpthread', '-lseccomp');
# It can write to no file, but to a pipe.
my ($status, $tries, $problem) = run_command('', 'bash', '-c', 'set -o pipefail; "$0" | cat', $escape);
is($status, 0, 'a program locks itself in') or diag($tries, $problem);
for (split /\n/, $tries)
{
	my ($result, $expected, $what) = split /\t/;
	is($result, $expected, $what);
}

# ---------- the exchange ----------

my $server = Server->new("modelopt.max_output_bytes = '1GB'");
my $runner = "$server->{folder}" . $server->query_on('postgres', q{SELECT setting FROM pg_config() WHERE name = 'PKGLIBDIR'}) =~ s/^\Q$server->{folder}\E//r . '/modelopt_runner';
ok(-e $runner, 'the server has a runner');
unlink $runner;
rename compile('runner', "$root/test/hostile/runner.c", '-lpthread'), $runner
	or run_command('', 'cp', "$scratch/runner", $runner);
chmod 0755, $runner;

$server->on(sub {
	create_database('over');
	query('over', q{
		CREATE TABLE zoo AS SELECT name, set_graph(model_agg(name, data ORDER BY name), 'input(2) a:linear') AS m
			FROM (VALUES ('one', 'a.weight', '{{1,1}}'::real[]), ('two', 'a.weight', '{{2,2}}')) t (model, name, data) GROUP BY model, t.name;
		CREATE FUNCTION other(i bigint) RETURNS real[] LANGUAGE sql AS
			$$ SELECT ARRAY[i, (predict(m, ARRAY[[1, 1]]))[1][1]]::real[] FROM (SELECT m FROM zoo ORDER BY m::text DESC LIMIT 1) z $$;
	});
	my $session = Session->new('over');
	my $backend = $session->run('SELECT pg_backend_pid();');
	my $PREDICT = q{SELECT predict(m, ARRAY[[1, 1], [2, 2]]::real[]) FROM zoo ORDER BY m::text LIMIT 1;};
	my $as = sub { return "SET modelopt.onnxruntime_library = '$_[0]'; $_[1]" };

	is($session->run($as->('good', $PREDICT)), '{{1},{1}}', 'one that does as it should');
	is($session->run($as->('deaf', 'DO $$ BEGIN FOR i IN 1 .. 5000 LOOP PERFORM predict(m, ARRAY[[1, 1]]::real[]) FROM zoo; END LOOP; END $$; SELECT 1;')),
		'1', 'one that does not listen is not waited for');
	like($session->run($as->('flood', "SET statement_timeout = 500; $PREDICT RESET statement_timeout;")),
		qr/ERROR:  57014: /, 'one that never stops talking can be cancelled');
	like($session->run($as->('counts', $PREDICT)), qr/ERROR:  XX000: model runner gave 1024 outputs, not 1/, 'outputs are counted');
	like($session->run($as->('past', $PREDICT)), qr/ERROR:  XX000: model runner gave a value that does not exist/, 'a tensor lies in the memory');
	like($session->run($as->('other', $PREDICT)), qr/ERROR:  XX000: model runner gave an output of another type/, 'elements are of the type that their size was checked for');
	like($session->run($as->('text', $PREDICT)), qr/ERROR:  XX000: model runner gave an output of another type/, 'also when they should be strings');
	like($session->run($as->('text', q{SELECT predict_json(m, '[[1, 1]]') FROM zoo;})), qr/ERROR:  XX000: model runner gave an output of another type/, 'and as JSON');
	like($session->run($as->('ports', $PREDICT)), qr/ERROR:  XX000: model runner does not say what the model takes/, 'a name ends where its bytes do');
	like($session->run($as->('grows', q{SET modelopt.cache_size = 0;
		SELECT count(*) FROM (SELECT m FROM zoo ORDER BY m::text LIMIT 1) z, predict_rows(z.m, 'SELECT i, other(i) FROM generate_series(1, 6) i', batch_size => 2);
		RESET modelopt.cache_size;})),
		qr/ERROR:  XX000: model runner says now that the model takes something else/, 'a model is what it was when it is loaded anew');
	is($session->run($as->('good', $PREDICT)), '{{1},{1}}', 'after all of it the session predicts');
	is($session->run('SELECT pg_backend_pid();'), $backend, 'in the same process');
	$session->quit;
});

done_testing();
