# Driver.pm
#	The library of test/driver, built once for a test, and its functions.
package Driver;

use strict;
use warnings;

use Cwd qw(realpath);
use Exporter 'import';
use File::Temp ();
use FindBin;
use Session qw(query run_command);

our @EXPORT_OK = qw(create_driver);

my $REPO = realpath("$FindBin::RealBin/../..");
my $folder;

sub config
{
	my ($what) = @_;
	my (undef, $out) = run_command('', $ENV{PG_CONFIG} || 'pg_config', "--$what");
	return $out;
}

# Built with what the server was built with; all may read it.
sub library
{
	return "$folder/driver.so" if $folder;
	$folder = File::Temp->newdir('modelopt-driver.XXXXXX', TMPDIR => 1);
	chmod 0755, "$folder";
	my ($status, $out, $err) = run_command('', $ENV{CC} || 'cc', '-O2', '-fPIC', '-shared', '-Wall', '-Werror',
		"-I$REPO/src", '-I' . config('includedir-server'), '-o', "$folder/driver.so", "$REPO/test/driver/driver.c");
	die "the driver was not built:\n$out$err" if $status;
	return "$folder/driver.so";
}

# Makes its functions in a database.
sub create_driver
{
	my ($database) = @_;
	my $library = library();
	query($database, qq{
		LOAD 'modelopt';
		CREATE SCHEMA driver;
		GRANT USAGE ON SCHEMA driver TO PUBLIC;
		CREATE FUNCTION driver.call(model_id bigint, version integer, rows bigint DEFAULT 1, ns bigint DEFAULT 0,
			sqlstate text DEFAULT NULL, seconds double precision DEFAULT NULL) RETURNS bigint
			LANGUAGE C PARALLEL SAFE AS '$library', 'driver_call';
		CREATE FUNCTION driver.calls(n bigint, models bigint) RETURNS bigint LANGUAGE C STRICT AS '$library', 'driver_calls';
		CREATE FUNCTION driver.cost(n bigint) RETURNS double precision LANGUAGE C STRICT AS '$library', 'driver_cost';
		CREATE FUNCTION driver.observe(model_id bigint, version integer, outputs boolean, columns integer, observed double precision[],
			nulls boolean[] DEFAULT NULL, first integer DEFAULT 1) RETURNS boolean LANGUAGE C PARALLEL SAFE AS '$library', 'driver_observe';
		CREATE FUNCTION driver.observe_floats(model_id bigint, version integer, columns integer, observed real[]) RETURNS boolean
			LANGUAGE C PARALLEL SAFE AS '$library', 'driver_observe_floats';
		CREATE FUNCTION driver.observe_text(model_id bigint, version integer, number integer, value text) RETURNS boolean
			LANGUAGE C PARALLEL SAFE AS '$library', 'driver_observe_text'});
	return;
}

1;
