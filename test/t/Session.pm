# Session.pm
#	psql for the TAP tests: one-off queries, and sessions that stay open while
#	others work.
#
# The server is the one that libpq's environment variables name.  PostgreSQL's
# own test modules are not used: Debian ships them without what they need.
package Session;

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use IPC::Open3 qw(open3);

our @EXPORT_OK = qw(create_database query run_sql run_command);

my @PSQL = qw(psql --no-psqlrc --quiet --no-align --tuples-only
  --set=ON_ERROR_STOP=1 --set=VERBOSITY=verbose);

# Runs a program and returns its status, output and errors.
sub run_command
{
	my ($input, @command) = @_;
	my ($out, $err) = (File::Temp->new, File::Temp->new);
	my $in = File::Temp->new;
	print $in $input;
	close $in;
	open my $from, '<', $in->filename or die $!;

	my $pid = open3('<&' . fileno $from, '>&' . fileno $out, '>&' . fileno $err, @command);
	waitpid $pid, 0;
	return ($?, map { slurp($_) } $out, $err);
}

# The whole of an open file, without the last line's end.
sub slurp
{
	my ($file) = @_;
	seek $file, 0, 0;
	my $text = do { local $/ = undef; readline $file } // '';
	chomp $text;
	return $text;
}

# Runs SQL in a database: status, output, errors.
sub run_sql
{
	my ($database, $sql, @options) = @_;
	return run_command($sql, @PSQL, @options, '--dbname=' . $database);
}

# Runs SQL that is to succeed, and returns its output.
sub query
{
	my ($status, $out, $err) = run_sql(@_);
	die "failed: $_[1]\n$err" if $status;
	return $out;
}

# A new database, with the extension unless the options say otherwise.
sub create_database
{
	my ($name, %option) = @_;
	my $like = $option{like} // '';
	query('postgres', "CREATE DATABASE $name $like");
	query($name, 'CREATE EXTENSION modelopt') unless $option{bare};
	return;
}

# ---------- a session that stays open ----------

sub new
{
	my ($class, $database) = @_;
	my $self = bless { number => 0 }, $class;
	$self->{pid} = open3($self->{in}, $self->{out}, undef, @PSQL,
		'--set=ON_ERROR_STOP=0', '--dbname=' . $database);
	$self->{in}->autoflush(1);
	return $self;
}

# Sends SQL without waiting for it.
sub start
{
	my ($self, $sql) = @_;
	$self->{mark} = 'done ' . ++$self->{number};
	print { $self->{in} } "$sql\n;\n\\echo $self->{mark}\n";
	return;
}

# Waits for what was started and returns what it printed, errors included.
sub finish
{
	my ($self) = @_;
	my $text = '';
	while (my $line = readline $self->{out})
	{
		if ($line eq "$self->{mark}\n")
		{
			chomp $text;
			return $text;
		}
		$text .= $line;
	}
	die "the session ended; it had said:\n$text";
}

sub run
{
	my ($self, $sql) = @_;
	$self->start($sql);
	return $self->finish;
}

sub quit
{
	my ($self) = @_;
	close $self->{in};
	waitpid $self->{pid}, 0;
	return;
}

1;
