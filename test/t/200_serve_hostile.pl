# Models and callers that mean harm: each ends in an error that says so or in an
# answer, the session lives, and the next prediction is right.
use strict;
use warnings;

use FindBin;
use Test::More;

use Session qw(create_database query run_command run_sql);

plan skip_all => 'there is no ONNX Runtime' unless $ENV{ONNXRUNTIME_LIBRARY};

create_database('harm');
query('harm', q{
	CREATE TABLE runs (number int PRIMARY KEY, name text, data bytea, inputs jsonb, expect text, timeout int);
	-- What becomes of a run: "ok" and the outputs if they are few, or the error.
	CREATE FUNCTION attempt(wanted int) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		run runs;
		outputs jsonb;
	BEGIN
		SELECT * INTO run FROM runs WHERE number = wanted;
		outputs := predict_json(model_read(run.data), run.inputs);
		RETURN concat('ok ', left(outputs::text, 200));
	EXCEPTION WHEN query_canceled OR others THEN
		RETURN concat(SQLSTATE, ' ', SQLERRM);
	END $$;
});
my ($status, $rows, $err) = run_command('', 'python3', '-B', "$FindBin::RealBin/../hostile/runs.py");
die $err if $status;
query('harm', $rows);

# One that does no harm.
my ($harmless) = query('harm', q{SELECT number FROM runs WHERE name = 'Strings'});
my $GOOD = "SELECT attempt($harmless), pg_backend_pid();";

my $session = Session->new('harm');
my $right = $session->run($GOOD);
like($right, qr/^ok \{"y": \["a", "", /, 'there is a session that predicts');
for (split /\n/, query('harm', q{SELECT number, timeout, expect, name FROM runs ORDER BY number}, '--field-separator=' . "\t"))
{
	my ($number, $timeout, $expect, $name) = split /\t/;
	my $result = $session->run("SET statement_timeout = $timeout; SELECT attempt($number); RESET statement_timeout;");
	like($result, qr/^(?:$expect)/, $name);
	is($session->run($GOOD), $right, "and then the session predicts: $name");
}

done_testing();
