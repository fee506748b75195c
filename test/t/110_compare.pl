# Comparing large models takes little memory, and can be cancelled.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query run_sql);

create_database('compared');

# Two versions of 200 MB: four tensors each, of which half of the elements are
# others.
my $elements = 12_500_000;
for my $value (0, 0.5)
{
	query('compared', qq{
		SELECT modelopt.commit('big', (
			SELECT model_agg('t' || i, array_fill(i::real, ARRAY[$elements / 2]) || array_fill((i + $value)::real, ARRAY[$elements / 2]) ORDER BY i)
			FROM generate_series(1, 4) i), '$value')});
}

# The most memory that a session had, in kilobytes; what it shares with others
# was there when it began.
sub peak_of
{
	my ($session) = @_;
	my $pid = $session->run('SELECT pg_backend_pid()');
	open my $status, '<', "/proc/$pid/status" or return;
	my ($peak) = map { /^VmPeak:\s*(\d+)/ ? $1 : () } <$status>;
	close $status;
	return $peak;
}

SKIP: {
	my $session = Session->new('compared');
	$session->run(q{SELECT count(*) FROM modelopt.diff('big', 'big')});
	my $before = peak_of($session);
	skip 'the kernel does not say how much memory a process had', 3 unless $before;

	is($session->run(q{SELECT count(*), sum(elements), sum(changed), max(max_abs) FROM modelopt.diff('big#1', 'big#2')}),
		"4|" . 4 * $elements . '|' . 2 * $elements . '|0.5', 'the difference is what it is');
	is($session->run(sprintf q{SELECT abs(l2 / sqrt(0.25 * %d) - 1) < 1e-12 FROM modelopt.diff_stat('big#1', 'big#2')}, 2 * $elements),
		't', 'and adds up');
	my $grown = peak_of($session) - $before;
	cmp_ok($grown, '<', 32 * 1024, 'two models of 200 MB are compared in a few megabytes') or diag("$grown kB");
	$session->quit;
}

my (undef, undef, $err) = run_sql('compared', q{
	SET statement_timeout = '20ms';
	SELECT count(*) FROM modelopt.diff('big#1', 'big#2')});
like($err, qr/ERROR:  57014: /, 'a comparison can be cancelled');

done_testing();
