# A client loads a model in parts, loses its connection, and goes on from what
# is missing, in another session or after a dump and restore; and a model is
# committed from a file of the server.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json encode_json);
use Test::More;

use Session qw(create_database query run_sql run_command);

my $data = abs_path(dirname(__FILE__) . '/../data');
my $folder = tempdir(CLEANUP => 1);
chmod 0755, $folder;
copy("$data/digits_mlp.safetensors", "$folder/net.safetensors") or die $!;
copy("$data/digits_mlp.pth", "$folder/net.pth") or die $!;
chmod 0644, glob "$folder/*";

create_database('loading');
query('loading', q{CREATE ROLE loading_client; CREATE ROLE loading_files; GRANT pg_read_server_files TO loading_files;
	SELECT modelopt.grant_create('loading_client'); SELECT modelopt.grant_create('loading_files');});

# What a client knows of a safetensors file.
open my $file, '<:raw', "$data/digits_mlp.safetensors" or die $!;
my $bytes = do { local $/ = undef; readline $file };
my $length = unpack 'Q<', substr $bytes, 0, 8;
my $header = decode_json(substr $bytes, 8, $length);
my $metadata = delete $header->{__metadata__};
my @names = sort { $header->{$a}{data_offsets}[0] <=> $header->{$b}{data_offsets}[0] } keys %$header;
my $tensors = encode_json([ map { { name => $_, dtype => lc $header->{$_}{dtype}, shape => $header->{$_}{shape} } } @names ]);

sub part
{
	my ($name, $first, $n) = @_;
	return unpack 'H*', substr $bytes, 8 + $length + $header->{$name}{data_offsets}[0] + $first, $n;
}

my $load = query('loading', qq{SET ROLE loading_client; SELECT modelopt.begin_load('net', '$tensors')});
my $connection = Session->new('loading');
$connection->run("SET ROLE loading_client; SET client_min_messages TO warning");
for my $name (@names[0, 1])
{
	my $size = $header->{$name}{data_offsets}[1] - $header->{$name}{data_offsets}[0];
	for (my $first = 0; $first < $size; $first += 1000)
	{
		$connection->run("SELECT modelopt.put_part($load, '$name', $first, '\\x" . part($name, $first, 1000 < $size - $first ? 1000 : $size - $first) . "')");
	}
}
# The last part is put in a transaction that does not end.
my $half = part($names[2], 0, 4);
$connection->run("BEGIN; SELECT modelopt.put_part($load, '$names[2]', 0, '\\x$half')");
my $backend = $connection->run('SELECT pg_backend_pid()');
query('loading', "SELECT pg_terminate_backend($backend, 10000)");
eval { $connection->run('COMMIT') };
$connection->quit;

my $missing = 'SELECT tensor, lower(r), upper(r) FROM (SELECT tensor, unnest(missing) AS r FROM modelopt.load_status(' . $load . ')) s';
my $left = query('loading', $missing);
is($left, join("\n", map { "$_|0|" . ($header->{$_}{data_offsets}[1] - $header->{$_}{data_offsets}[0]) } @names[2 .. $#names]),
	'what was not committed is missing after a lost connection');

# Goes on from what is missing and finishes; in a database, as a role.
sub goes_on
{
	my ($database) = @_;
	for my $range (split /\n/, query($database, $missing))
	{
		my ($name, $first, $end) = split /\|/, $range;
		query($database, "SET ROLE loading_client; SELECT modelopt.put_part($load, '$name', $first, '\\x" . part($name, $first, $end - $first) . "')");
	}
	return query($database, "SET ROLE loading_client; SELECT modelopt.finish_load($load, 'at last')");
}

# An unfinished load is data like any other.
my ($status, $out, $err) = run_command('', 'pg_dump', '--format=custom', "--file=$folder/dump", 'loading');
is($status, 0, 'pg_dump in the middle') or diag($err);
create_database('loading_restored', bare => 1);
($status, $out, $err) = run_command('', 'pg_restore', '--exit-on-error', '--dbname=loading_restored', "$folder/dump");
is($status, 0, 'pg_restore') or diag($err);

my $same = qq{SELECT count(*), bool_and(tensor(modelopt.get('net'), name) = tensor(model_load('$folder/net.safetensors'), name)),
	bool_and(author = 'loading_client') FROM tensors(modelopt.get('net')), modelopt.versions};
for my $database ('loading', 'loading_restored')
{
	is(goes_on($database), 1, "$database: loaded after all");
	is(query($database, $same), scalar(@names) . '|t|t', "$database: all tensors are the file's");
	is(query($database, 'SELECT count(*) FROM modelopt_private.load_part'), 0, "$database: the parts are gone");
}

# From a file of the server.
($status, $out, $err) = run_sql('loading', "SET ROLE loading_client; SELECT modelopt.load('file', '$folder/net.pth')");
like($err, qr/ERROR:  42501: .*file/, 'not for everybody');
like((run_sql('loading', "SET ROLE loading_client; SELECT model_load('$folder/net.pth')"))[2], qr/ERROR:  42501: /, 'as for model_load');
is(query('loading', "SET ROLE loading_files; SELECT modelopt.load('file', '$folder/net.pth', 'from a file', params => '{\"lr\": 1}')"), 1, 'for members of pg_read_server_files');
is(query('loading', "SELECT modelopt.get('file') = model_load('$folder/net.pth'), author, message, params FROM modelopt.log('file')"),
	't|loading_files|from a file|{"lr": 1}', 'which commits what model_load reads');
like((run_sql('loading', "SET ROLE loading_files; SELECT modelopt.load('net', '$folder/net.pth')"))[2], qr/ERROR:  42501: .*"net"/, 'where they may commit');
like((run_sql('loading', "SET ROLE loading_files; SELECT modelopt.load('file', '$folder/net.pth', format => 'onnx')"))[2], qr/ERROR:  22P03: /, 'and says what model_load says');

done_testing();
