# Long work can be cancelled while it goes on, not only when it has ended: the
# server's log says where the cancellation was noticed.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query run_sql);

my $LOG = "$ENV{PGHOST}/log";
plan skip_all => 'the server\'s log is not at hand' unless -r $LOG;

# What was logged since the last call.
open my $log, '<', $LOG or die $!;
sub logged
{
	seek $log, 0, 1;
	local $/ = undef;
	return readline($log) // '';
}

create_database('patient');

# Two tensors of 2^27 zeros each, stored sparse: small to keep, and a gigabyte
# each to work on.  The digest is that of so many zero bytes.
query('patient', q{
	CREATE FUNCTION le(value bigint, size int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
	$$ SELECT string_agg(set_byte('\x00', 0, (value >> (8 * i) & 255)::int), '' ORDER BY i)
	   FROM generate_series(0, size - 1) i $$;
	CREATE FUNCTION zeros(dtype int, n bigint, digest bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
	$$ WITH m AS (SELECT decode(repeat('00', (n / 8)::int), 'hex') AS mask),
			d AS (SELECT le(n / 8, 8) || le(n, 8) || le(dtype, 1) || '\x01' || le(0, 14) || digest AS payload,
						 le(n, 8) || le(1, 8) AS dims)
	   SELECT 'mdlo'::bytea || '\x01000000' || le(2, 4) || le(2, 4) || le(192, 4) || le(2, 4) || le(2, 4) ||
			  le(320 + 2 * length(mask), 8) ||
			  sha256('\x02000000'::bytea || 'w1' || le(dtype, 1) || '\x02' || dims || digest ||
					 '\x02000000'::bytea || 'w2' || le(dtype, 1) || '\x02' || dims || digest || '\x02000000' || '{}') ||
			  payload || payload ||
			  le(0, 4) || '\x02000200' || dims || 'w1' || le(0, 6) || le(1, 4) || '\x02000200' || dims || 'w2' || le(0, 6) ||
			  '{}' || '[]' || le(0, 52) || mask || mask
	   FROM m, d $$;
	CREATE TABLE flat AS SELECT
		zeros(1, 134217728, '\x49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14') AS large,
		zeros(2, 33554432, sha256(decode(repeat('00', 134217728), 'hex'))) AS small;
	CREATE TABLE zoo AS SELECT model(large) AS large, model(small) AS small FROM flat;
	CREATE TABLE file AS SELECT model_write(small, 'pytorch') AS data FROM zoo;
});
is(query('patient', 'SELECT sparsity(large), num_parameters(large), num_parameters(small) FROM zoo'), '1|268435456|67108864',
	'there are large models of zeros');

# The same without an encoding, whose tensors have something to gain; and a
# matrix that takes a while to factorize.
query('patient', q{
	CREATE TABLE dense AS SELECT decompress(small) AS m FROM zoo;
	CREATE TABLE matrix AS SELECT model_agg('w', rows) AS m FROM (
		SELECT array_agg(row_) AS rows FROM (
			SELECT array_agg(sin(i * 7919 + j * j)::real) AS row_
			FROM generate_series(1, 1200) i, generate_series(1, 1300) j GROUP BY i) r) x;
});

# Cancels a statement, soon at first, until it is cancelled within our library.
# A function that looks for interrupts only when it is done is never cancelled
# there.
sub cancelled_within
{
	my ($sql) = @_;
	my $said = 'nothing';
	for (my $timeout = 20; $timeout <= 2560; $timeout *= 2)
	{
		logged();
		my ($status, $out, $err) = run_sql('patient',
			"SET backtrace_functions = 'ProcessInterrupts'; SET statement_timeout = $timeout; $sql");
		$said = $err . logged();
		last unless $err =~ /ERROR:  57014: /;
		return pass("cancelled half-way: $sql") if $said =~ m{/modelopt\.so\(};
	}
	fail("cancelled half-way: $sql");
	return diag($said);
}

cancelled_within($_) for (
	'SELECT stats(large) FROM zoo',
	'SELECT sparsity(large) FROM zoo',
	'SELECT decompress(large) FROM zoo',
	'SELECT model(large) FROM flat',
	q{SELECT tensor(small, 'w1') FROM zoo},
	q{SELECT model_write(small, 'pytorch') FROM zoo},
	'SELECT model_read(data) FROM file',
	'SELECT prune(large, 0.5) FROM zoo',
	q{SELECT prune(large, 0.5, method => 'random') FROM zoo},
	q{SELECT prune(large, 0.5, scope => 'tensor') FROM zoo},
	q{SELECT prune(large, 0.5, method => 'ln_structured', dim => 0) FROM zoo},
	q{SELECT prune(large, 0.5, method => 'threshold') FROM zoo},
	q{SELECT prune(large, method => 'n:m', n => 1, m_of => 2, dim => 0) FROM zoo},
	q{SELECT prune(large, method => 'mask', mask => large) FROM zoo},
	q{SELECT prune_dry_run(large, 0.5) FROM zoo},
	q{SELECT pruning_rate(large, small) FROM zoo},
	q{SELECT prune(m, 0.5, 'wanda', activation_norms => '{"w1": [1], "w2": [1]}') FROM dense},
	q{SELECT quantize(m, 'int8', granularity => 'tensor') FROM dense},
	q{SELECT quantize(m, 'int4') FROM dense},
	q{SELECT quantize(m, 'fp16') FROM dense},
	q{SELECT quantize_dry_run(m, 'int8', granularity => 'tensor') FROM dense},
	q{SELECT compress(m, 'cluster', bits => 4) FROM dense},
	q{SELECT compress(m, max_error => 0.1) FROM dense},
	q{SELECT compress(m, 'lowrank', energy => 0.5) FROM matrix},
	q{SELECT report(m, m) FROM dense});

# By another session, too, which leaves this one as it was.
my ($worker, $boss) = map { Session->new('patient') } 1 .. 2;
my $pid = $worker->run('SELECT pg_backend_pid()');
$worker->start('SELECT count(*) FROM zoo, generate_series(1, 1000) i, stats(large)');
1 until $boss->run("SELECT state = 'active' FROM pg_stat_activity WHERE pid = $pid AND query LIKE '%generate_series(1, 1000)%'") eq 't';
is($boss->run("SELECT pg_cancel_backend($pid)"), 't', 'a session is cancelled by another');
like($worker->finish, qr/ERROR:  57014: /, 'and says so');
is($worker->run('SELECT sparsity(small) FROM zoo'), '1', 'and goes on with the next statement');
$_->quit for $worker, $boss;

done_testing();
