# Predictions by the protocol's message for a function call, which comes without
# an expression of the arguments: what they are only the declaration tells.
use strict;
use warnings;

use IO::Socket::UNIX;
use Test::More;

use Session qw(create_database query);

plan skip_all => 'there is no ONNX Runtime' unless $ENV{ONNXRUNTIME_LIBRARY};

# y = x1 + 2 x2
my $MODEL = q{SELECT set_graph(model_agg(name, data), 'input(2) a:linear') AS m FROM (VALUES ('a.weight', '{{1,2}}'::real[])) t (name, data)};

create_database('fastpath');
query('fastpath', "CREATE TABLE zoo AS $MODEL; SELECT modelopt.commit('adder', m) FROM zoo");

my $server = IO::Socket::UNIX->new(Peer => "$ENV{PGHOST}/.s.PGSQL.$ENV{PGPORT}") or die $!;

sub take
{
	my ($n) = @_;
	my $bytes = '';
	while (length $bytes < $n)
	{
		read($server, $bytes, $n - length $bytes, length $bytes) or die 'the server has gone';
	}
	return $bytes;
}

# The bodies of messages until the server is ready, by type.
sub answer
{
	my %answer;
	until (exists $answer{Z})
	{
		my ($type, $length) = unpack 'a N', take(5);
		$answer{$type} = take($length - 4);
	}
	return \%answer;
}

sub send_message
{
	my ($type, $body) = @_;
	print {$server} $type, pack('N', 4 + length $body), $body;
	$server->flush;
	return answer();
}

# What a function says to binary arguments: its result as text, or an error.
sub call
{
	my ($function, @arguments) = @_;
	my $oid = query('fastpath', "SELECT '$function'::regprocedure::oid");
	my $given = join '', map { defined $_ ? pack 'N/a*', $_ : pack 'N', 0xffffffff } @arguments;
	my $answer = send_message('F', pack('N n n n', $oid, 1, 1, scalar @arguments) . $given . pack 'n', 0);
	return exists $answer->{V} ? substr $answer->{V}, 4 : join ' ', $answer->{E} =~ /\0([CM][^\0]*)/g;
}

send_message('', pack 'N Z* Z* Z* Z* x', 196_608, 'user', $ENV{PGUSER}, 'database', 'fastpath');
my $value = pack 'H*', query('fastpath', q{SELECT encode(model_send(m), 'hex') FROM zoo});

is(call('predict(text, text, text)', 'adder', '{3,4}', undef), '{11}', 'of a name, with features in a text');
is(call('predict(model, text, text)', $value, '{3,4}', undef), '{11}', 'of a value, with features in a text');
like(call('predict(model, text, text)', $value, "\1" x 12, undef), qr/^C22P02 Mmalformed array literal/, 'a text is no array as it lies in memory');

done_testing();
