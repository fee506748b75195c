# Programs.pm
#	Programs that run beside the tests, such as Prometheus, and what they say
#	over HTTP.  They end with the test.
package Programs;

use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP qw(decode_json);

our @EXPORT_OK = qw(find_program free_port start_program wait_until get get_json);

my @running;

# The path of the first of some programs that there is.
sub find_program
{
	my (@names) = @_;
	for my $name (@names)
	{
		my ($path) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin';
		return $path if $path;
	}
	return;
}

# A port of this machine that nobody listens on.
sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no port: $!";
	return $socket->sockport;
}

# Starts a program whose output goes to a file.
sub start_program
{
	my ($log, @command) = @_;
	my $pid = fork // die $!;
	if (!$pid)
	{
		open STDIN, '<', '/dev/null' or die $!;
		open STDOUT, '>', $log or die $!;
		open STDERR, '>&', \*STDOUT or die $!;
		exec { $command[0] } @command or die "$command[0]: $!";
	}
	push @running, $pid;
	return $pid;
}

# Waits until code returns something true, and returns that.
sub wait_until
{
	my ($what, $code) = @_;
	for (1 .. 600)
	{
		my $result = $code->();
		return $result if $result;
		select undef, undef, undef, 0.1;
	}
	die "waited in vain for $what";
}

# A page, or undef as long as there is none: a server that is starting is not
# reached, or says 503.
sub get
{
	my ($url, %parameters) = @_;
	my $http = HTTP::Tiny->new(timeout => 10);
	my $query = $http->www_form_urlencode(\%parameters);
	my $response = $http->get($query eq '' ? $url : "$url?$query");
	return if $response->{status} == 599 || $response->{status} == 503;
	return $response->{content};
}

sub get_json
{
	my $page = get(@_);
	return defined $page ? decode_json($page) : undef;
}

END
{
	my $status = $?;
	kill TERM => @running;
	waitpid $_, 0 for @running;
	$? = $status;
}

1;
