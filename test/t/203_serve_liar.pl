# A runner that a model has taken over may say anything to its session, which
# must not believe it: each lie is an error, and the session lives.
use strict;
use warnings;

use FindBin;
use Test::More;

use Server;
use Session qw(create_database run_command);

my $ROOT = "$FindBin::RealBin/../..";
my $server = Server->new;
my ($status, $library_folder, $err) = run_command('', $ENV{PG_CONFIG} // 'pg_config', '--pkglibdir');
my $runner = "$server->{folder}$library_folder/modelopt_runner";
($status, my $out, $err) = run_command('', $ENV{CC} // 'cc', '-std=gnu11', '-Wall', '-Wextra', "-I$ROOT/src", "$ROOT/test/serve/liar.c", '-o', $runner);
is($status, 0, 'there is a runner that lies') or diag($out, $err);

my ($PREDICT, $JSON) = map { "SELECT $_ FROM zoo;" } "predict(m, '{1,2}'::real[])", "predict_json(m, '[1,2]')";
my $CLASSIFY = "SELECT (classify(m, '{1,2}'::real[])).label FROM zoo;";
$server->on(sub {
	create_database('lies');
	my $session = Session->new('lies');
	my $backend = $session->run(q{CREATE TABLE zoo AS SELECT set_graph(model_agg(name, data ORDER BY name), 'input(2) a:linear') AS m
		FROM (VALUES ('a.weight', '{{2,0},{0,2}}'::real[])) t (name, data);
		SELECT pg_backend_pid();});
	my $tell = sub { $session->run("SET modelopt.onnxruntime_library = '$_[0]'; $_[1]") };

	is($tell->('the truth', $JSON), '{"y": [1, 2]}', 'it can be believed');
	is($tell->('strings', $JSON), '{"y": ["a", "b"]}', 'with strings, too');
	for my $lie ('many inputs', 'less than no inputs', 'many dimensions', 'a name that is longer than all', 'noise', 'ports without an end',
		'half of the ports', 'maps in types without an end', 'maps of a half type')
	{
		like($tell->($lie, $PREDICT), qr/ERROR:  XX000: model runner does not say what the model takes/, $lie);
	}
	for my $lie ('many outputs', 'no outputs', 'a tensor beyond the end', 'a tensor before the start', 'a tensor between places',
		'less bytes than elements', 'a shape that overflows', 'a shape below nothing', 'a shape of 1000 dimensions',
		'a type that is none', 'bytes for numbers', 'parts for numbers', 'strings without room for them', 'numbers for strings')
	{
		like($tell->($lie, $_), qr/ERROR:  XX000: model runner gave /, $lie) for $PREDICT, $JSON;
	}
	is($tell->('maps', $JSON), '{"y": [{"7": 1, "8": 2}]}', 'and maps');
	for my $lie ('maps without room for them', 'maps less than none', 'maps in a sequence of two dimensions', 'maps that are numbers',
		'maps beyond the end', 'maps longer than the whole', 'maps between places', 'maps in themselves', 'maps of nothing',
		'maps of three parts', 'maps of one part', 'maps with more keys than values', 'maps with keys of another type',
		'maps with values of another type', 'maps with less bytes than values')
	{
		like($tell->($lie, $_), qr/ERROR:  XX000: model runner gave /, $lie) for $CLASSIFY, $JSON;
	}
	like($tell->($_, $JSON), qr/ERROR:  XX000: model runner gave a string that does not exist/, $_)
	  for 'strings beyond the end', 'strings that end before they start';
	like($tell->('a name that is no text', $JSON), qr/ERROR:  22021: /, 'a name that is no text');
	like($tell->('no library', $JSON), qr/ERROR:  58P01: could not open ONNX Runtime/, 'no library');
	like($tell->('a failure without an end', $JSON), qr/ERROR:  38000: could not load model\nDETAIL:  [^\n]*x{1000}/, 'a failure without an end');
	like($tell->('a closed socket', $JSON), qr/ERROR:  38000: model runner ended /, 'a closed socket');
	like($tell->('another answer', $JSON), qr/^\{"y": \[1, 2\]\}$|ERROR:  /, 'another answer');
	for my $silence ('nothing', 'messages without an end')
	{
		like($session->run("SET modelopt.onnxruntime_library = '$silence'; SET statement_timeout = 200; $JSON RESET statement_timeout;"),
			qr/ERROR:  57014: /, $silence);
	}
	is($tell->('deaf ears', q{DO $$ BEGIN FOR i IN 1 .. 5000 LOOP PERFORM predict(m, '{1,2}'::real[]) FROM zoo; END LOOP; END $$; SELECT 1;}), '1',
		'deaf ears');
	# Between two batches the model goes for another one, and is loaded anew.
	like($tell->('inputs from the fifth load on', q{SET modelopt.cache_size = 0;
		CREATE FUNCTION others(i bigint) RETURNS real[] LANGUAGE sql AS $$ SELECT predict(prune(m, 1.0), ARRAY[i, 1]::real[]) FROM zoo $$;
		SELECT r.* FROM zoo, predict_rows(m, 'SELECT i, others(i) FROM generate_series(1, 6) i', batch_size => 2) r;
		RESET modelopt.cache_size;}),
		qr/ERROR:  XX000: model runner says now that the model takes something else/, 'inputs from the fifth load on');
	is($tell->('the truth', $JSON), '{"y": [1, 2]}', 'and the truth again');
	is($session->run('SELECT pg_backend_pid();'), $backend, 'all in one session');

	# Programs that are no runners.
	for (["#!/bin/sh\nexit 3\n", 0755, qr/ERROR:  38000: model runner ended with exit code 3/, 'one that ends at once'],
		["#!/bin/sh\n", 0644, qr/ERROR:  42501: could not start model runner /, 'one that may not be started'])
	{
		my ($text, $mode, $expect, $what) = @$_;
		unlink $runner;
		open my $file, '>', $runner or die $!;
		print $file $text;
		close $file;
		chmod $mode, $runner;
		like($tell->($what, $JSON), $expect, $what);
	}
	unlink $runner;
	like($tell->('none', $JSON), qr/ERROR:  58P01: could not start model runner /, 'and none at all');
	is($session->run('SELECT pg_backend_pid();'), $backend, 'the session is still there');
});

done_testing();
