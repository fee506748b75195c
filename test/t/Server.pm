# Server.pm
#	Private servers beside the one that tests run on, for tests that need two
#	or settings of their own.  They end, and their folders go, with the test.
package Server;

use strict;
use warnings;

use Cwd qw(realpath);
use File::Temp ();
use FindBin;
use Session qw(query run_command);

my $SCRIPT = realpath("$FindBin::RealBin/../../scripts/server");
my @started;

sub must
{
	my ($status, $out, $err) = run_command('', @_);
	die "@_: $out\n$err" if $status;
	return;
}

# The command prefix that makes one the user that servers run as.
sub as_user
{
	my ($self) = @_;
	return $> == 0 ? ('runuser', '-u', (getpwuid((stat "$self->{folder}/data")[4]))[0], '--') : ();
}

# A new server with some lines of postgresql.conf.
sub new
{
	my ($class, @settings) = @_;
	my $scratch = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);
	chmod 0755, "$scratch";
	my $self = bless { scratch => $scratch, folder => "$scratch/s" }, $class;
	must($SCRIPT, 'start', $self->{folder}, $ENV{BUILD} // ());
	push @started, $self;
	$self->halt;
	$self->configure(@settings);
	$self->start;
	return $self;
}

sub configure
{
	my ($self, @settings) = @_;
	open my $file, '>>', "$self->{folder}/data/postgresql.conf" or die $!;
	print $file "$_\n" for @settings;
	close $file;
	return;
}

sub start { must($SCRIPT, 'start', $_[0]{folder}, $ENV{BUILD} // ()); return }

# Stops the server as a crash does not, and keeps its folder.
sub halt
{
	my ($self) = @_;
	open my $file, '<', "$self->{folder}/data/postmaster.pid" or return;
	my $pid = int <$file>;
	kill INT => $pid;
	select undef, undef, undef, 0.05 while -e "$self->{folder}/data/postmaster.pid";
	return;
}

# A streaming standby of a server.
sub standby_of
{
	my ($class, $primary) = @_;
	my $self = $class->new;
	$self->halt;
	must($self->as_user, 'rm', '-rf', "$self->{folder}/copy");
	must($self->as_user, 'pg_basebackup', '--host', $primary->{folder}, '--username', 'postgres', '--pgdata', "$self->{folder}/copy",
		'--checkpoint', 'fast', '--wal-method', 'stream', '--write-recovery-conf');
	must('rm', '-rf', "$self->{folder}/data");
	rename "$self->{folder}/copy", "$self->{folder}/data" or die $!;
	$self->configure("unix_socket_directories = '$self->{folder}'", 'hot_standby = on');
	$self->start;
	return $self;
}

# Runs code with libpq's environment pointing here.
sub on
{
	my ($self, $code) = @_;
	local $ENV{PGHOST} = $self->{folder};
	return $code->();
}

sub query_on
{
	my ($self, @query) = @_;
	return $self->on(sub { query(@query) });
}

# Waits until a query says t.
sub wait_for
{
	my ($self, $database, $query) = @_;
	for (1 .. 1200)
	{
		return 1 if $self->query_on($database, $query) eq 't';
		select undef, undef, undef, 0.05;
	}
	die "waited in vain for: $query";
}

END
{
	my $status = $?;
	run_command('', $SCRIPT, 'stop', $_->{folder}) for grep { -d "$_->{folder}/data" } @started;
	$? = $status;
}

1;
