# Small models with large graphs or long names take little memory.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query);

create_database('graphs');

sub varint
{
	my ($n) = @_;
	my $bytes = '';
	for (; $n > 127; $n >>= 7) { $bytes .= chr($n & 127 | 128) }
	return $bytes . chr $n;
}

# Messages of ONNX: a field with bytes, and the parts of a model.
sub field { my ($number, $content) = @_; return varint($number << 3 | 2) . varint(length $content) . $content }
sub integers { return join '', map { "\x08" . varint($_) } @_ }

sub node
{
	my ($op, $output, @inputs) = @_;
	return field(1, join('', map { field(1, $_) } @inputs) . field(2, $output) . field(4, $op));
}

sub value
{
	my ($number, $name, @dims) = @_;
	return field($number, field(1, $name) . field(2, field(1, "\x08\x01" . field(2, join '', map { field(1, integers($_)) } @dims))));
}

# A weight of ones, of so many inputs and outputs.
sub weight
{
	my ($name, $inputs, $outputs) = @_;
	return field(5, integers($inputs, $outputs) . "\x10\x01" . field(8, $name) . field(9, "\0\0\x80\x3f" x ($inputs * $outputs)));
}

sub store
{
	my ($name, $graph) = @_;
	my $file = "\x08\x08" . field(7, $graph . field(2, 'g')) . field(8, "\x10\x12");
	query('graphs', "CREATE TABLE $name AS SELECT model_read(decode('" . unpack('H*', $file) . "', 'hex'), 'onnx') AS m");
	return;
}

# The most memory that a session has had, in kilobytes.
sub peak_of
{
	my ($session) = @_;
	my $pid = $session->run('SELECT pg_backend_pid()');
	open my $status, '<', "/proc/$pid/status" or return;
	my ($peak) = map { /^VmPeak:\s*(\d+)/ ? $1 : () } <$status>;
	close $status;
	return $peak;
}

# What a query asks for, in megabytes, and what it finds.
sub grown
{
	my ($warm_up, $query) = @_;
	my $session = Session->new('graphs');
	$session->run($warm_up);
	my $before = peak_of($session);
	my $result = $session->run($query);
	my $grown = (peak_of($session) - $before) / 1024;
	$session->quit;
	return ($grown, $result);
}

# A thousand products with one weight of a million elements.
store('shared', join('', map { node('MatMul', "y$_", 'x', 'w') } 1 .. 1000) . weight('w', 1024, 1024) .
	value(11, 'x', 1, 1024) . value(12, 'y1', 1, 1024));
# Sixty thousand times the same 64 integers.
store('integers', field(1, field(2, 'i0') . field(4, 'Constant') .
		field(5, field(1, 'value_ints') . field(8, "\1" x 64) . "\xa0\x01\x07")) .
	join('', map { node('Identity', "i$_", 'i' . ($_ - 1)) } 1 .. 60_000) . node('MatMul', 'y', 'x', 'w') . weight('w', 2, 2) .
	value(11, 'x', 1, 2) . value(12, 'y', 1, 2));
store('small', node('MatMul', 'y', 'x', 'w') . weight('w', 2, 2) . value(11, 'x', 1, 2) . value(12, 'y', 1, 2));
# A node with a name of two megabytes, and two hundred weights.
store('titled', field(1, join('', map { field(1, "w$_") } 1 .. 200) . field(2, 'y') . field(3, 'n' x 2_000_000) . field(4, 'Sum')) .
	join('', map { weight("w$_", 2, 2) } 1 .. 200) . value(11, 'x', 1, 2) . value(12, 'y', 2, 2));
# Two thousand names with hundreds of numbers in each.
query('graphs', q{CREATE TABLE names AS SELECT model_agg(repeat('0.', 490) || i, '{1}' ORDER BY i) AS m FROM generate_series(1, 2000) i});

SKIP: {
	skip 'the kernel does not say how much memory a process had', 8 unless -r '/proc/self/status';
	my $warm_up = 'SELECT count(*) FROM small, cut_dead_nodes_dry_run(m)';

	my ($grown, $found) = grown($warm_up, 'SELECT count(*) FROM shared, cut_dead_nodes_dry_run(m)');
	is($found, 1000, 'each product is a layer');
	cmp_ok($grown, '<', 80, 'which weights are not zero is known once of each weight') or diag(int $grown, " MB");

	($grown, $found) = grown($warm_up, 'SELECT count(*) FROM integers, cut_dead_nodes_dry_run(m)');
	is($found, 1, 'integers make no layers');
	cmp_ok($grown, '<', 220, 'what a walk over the nodes found out goes before the next one') or diag(int $grown, " MB");

	($grown, $found) = grown($warm_up, 'SELECT count(*) FROM titled, layers(m)');
	is($found, 200, 'a name that is too long is no layer');
	cmp_ok($grown, '<', 64, 'and is not copied for each tensor') or diag(int $grown, ' MB');

	($grown, $found) = grown($warm_up, q{SELECT count(*) FROM names, cut_layers_dry_run(m, '0*')});
	is($found, 1, 'all names are of one layer');
	cmp_ok($grown, '<', 128, 'a name takes no memory for each number in it') or diag(int $grown, " MB");
}

done_testing();
