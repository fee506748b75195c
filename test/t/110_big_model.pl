# A model of 3 GB is loaded in parts, committed, pruned, compared, saved and
# loaded again by a backend that may have 1.5 GB of memory, and is never one
# value.
#
# It takes minutes and much of a disk: it is skipped below 12 GB of free space,
# where processes cannot be limited, and where MODELOPT_SKIP_BIG says so.
use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(time);

use Session qw(create_database query run_sql run_command);

my $LIMIT = 1536 * 1024 * 1024;
my $TENSORS = 24;
my $PARTS = 32;			# of a tensor
my $PART = 4 * 1024 * 1024;
my $ELEMENTS = $PARTS * $PART / 4;

# Whether processes can be limited, and what is free where the database is.
plan skip_all => 'MODELOPT_SKIP_BIG is set' if $ENV{MODELOPT_SKIP_BIG};
my ($status, $found) = run_command('', 'prlimit', '--version');
plan skip_all => 'prlimit of util-linux is not there' if $status;
my ($free) = (run_command('', 'df', '--output=avail', '--block-size=1G', $ENV{PGHOST}))[1] =~ /(\d+)/;
plan skip_all => "only $free GB are free, and 12 are needed" if $free < 12;

my $folder = tempdir(CLEANUP => 1);
chmod 0777, $folder;
create_database('big');

# One session does it all; what it used is in /proc.
my $session = Session->new('big');
my $backend = $session->run('SELECT pg_backend_pid()');
# Its own user may limit it.
my $user = getpwuid((stat "/proc/$backend")[4]);
my @as_user = $> == 0 ? ('runuser', '-u', $user, '--') : ();
($status, $found, my $problem) = run_command('', @as_user, 'prlimit', "--as=$LIMIT", "--pid=$backend");
is($status, 0, 'the backend is limited') or diag($problem);
my $began = time;

# What else there is: shared memory and libraries, and a few tensors in work.
$session->run("SET modelopt.spill_above = '512MB'");

sub limited
{
	my ($title, $sql) = @_;
	my $start = time;
	my $result = $session->run($sql);
	open my $proc, '<', "/proc/$backend/status" or die $!;
	my ($peak) = join('', <$proc>) =~ /VmPeak:\s+(\d+)/;
	note(sprintf '%-32s %6.1f s, at most %d MB until now', $title, time - $start, $peak / 1024);
	return $result;
}

# ---------- in parts ----------

# Floats between -1 and 1, which repeat every 4 MB but for a few.
limited('data', q{
	CREATE TABLE block AS
	SELECT right_of(model_write(model_agg('b', a), 'safetensors')) AS data FROM (
		SELECT array_agg(((hashint4(i)::float8 / 2147483648) * (hashint4(-i)::float8 / 2147483648))::real) AS a FROM generate_series(1, 1048576) i) s;}
	  =~ s/right_of\((.*?)\) AS data/substr($1, octet_length($1) - 4194303) AS data/r);
is(limited('', 'SELECT octet_length(data) FROM block'), $PART, 'there is a block of data');

my $load = limited('begin_load', qq{
	SELECT modelopt.begin_load('big', jsonb_agg(jsonb_build_object('name', 'layer.' || t || '.weight', 'dtype', 'f32', 'shape', ARRAY[$ELEMENTS / 1024, 1024]) ORDER BY t)
		|| '[{"name": "bias", "dtype": "f32", "shape": [3]}]') FROM generate_series(1, $TENSORS) t});
for my $tensor (1 .. $TENSORS)
{
	limited("put_part of tensor $tensor", qq{
		SELECT count(modelopt.put_part($load, 'layer.$tensor.weight', p::bigint * $PART, overlay(data PLACING decode('0000003e' || lpad(to_hex($tensor), 2, '0') || lpad(to_hex(p), 2, '0') || '803f', 'hex') FROM 1)))
		FROM block, generate_series(0, $PARTS - 1) p});
}
like(limited('too early', "SELECT modelopt.finish_load($load)"), qr/ERROR:  55000: .*\n.*"bias", for instance, lacks bytes [{]\[0,12\)[}]/, 'an incomplete load is refused');
limited('put_part', "SELECT modelopt.put_part($load, 'bias', 0, '\\x0000803f0000004000004040')");
is(limited('finish_load', "SELECT modelopt.finish_load($load, '3 GB')"), 1, 'it is committed');
is(query('big', 'SELECT raw_bytes, parameters FROM modelopt.versions'), ($TENSORS * $PARTS * $PART + 12) . '|' . ($TENSORS * $ELEMENTS + 3), 'all of it');

# ---------- looked at ----------

# Pages of weights that a query touches, in a session of its own, at whose end
# the counts are there.
sub pages_read
{
	my ($sql) = @_;
	my $counted = q{SELECT heap_blks_read + heap_blks_hit FROM pg_statio_all_tables WHERE relid = 'modelopt_private.part'::regclass};
	query('big', $sql);
	my ($last, $count) = (-1, query('big', $counted));
	while ($count != $last)
	{
		sleep 1;
		($last, $count) = ($count, query('big', $counted));
	}
	return $count;
}
my $before = pages_read('SELECT 1');
my $pages = query('big', 'SELECT sum(stored_bytes) / 8192 FROM modelopt.versions');
is(pages_read(q{SELECT count(*) FROM tensors(modelopt.get('big')); SELECT num_parameters(modelopt.get('big'))}), $before, 'its tensors are listed without reading weights');
is(query('big', q{SELECT modelopt.tensor('big', 'bias')}), '{1,2,3}', 'a small tensor is right');
my $small = pages_read(q{SELECT modelopt.tensor('big', 'bias')}) - $before;
cmp_ok($small, '<=', 8, 'and takes a few pages');
my $one = pages_read(q{SELECT array_length(modelopt.tensor('big', 'layer.7.weight'), 1)}) - $before - $small;
cmp_ok($one, '<', $pages / ($TENSORS - 2), sprintf('a large one takes its share, %d of %d pages', $one, $pages));
# What was put over the block of part 0 of tensor 7: 0x3e000000, 0x3f800007.
is(limited('tensor', q{SELECT (modelopt.tensor('big', 'layer.7.weight'))[1:1][1:2]}), '{{0.125,1.0000008}}', 'in the limited session, too');

# ---------- changed and compared ----------

like(limited('as a value', q{SELECT octet_length(bytea(modelopt.get('big')))}), qr/ERROR:  54000: /, 'it is no value');
is(limited('prune and commit', q{SELECT modelopt.commit('big', prune(modelopt.get('big'), 0.5), 'half of the weights')}), 2, 'it is pruned');
is(query('big', q{SELECT round(sparsity::numeric, 3), relation FROM modelopt.versions WHERE version = 2}), '0.500|pruned', 'by half');
SKIP: {
	skip 'there is no modelopt.diff', 1 unless query('big', q{SELECT count(*) FROM pg_proc WHERE proname = 'diff' AND pronamespace = 'modelopt'::regnamespace});
	is(limited('diff', q{SELECT count(*) FROM modelopt.diff('big#1', 'big#2') WHERE status = 'modified'}), $TENSORS, 'it is compared');
}

# ---------- saved and loaded ----------

for my $saved ([ 'safetensors', 1 ], [ 'pth', 2 ])
{
	my ($format, $version) = @$saved;
	my $size = limited("model_save, $format", "SELECT model_save(modelopt.get('big#$version'), '$folder/big.$format')");
	cmp_ok($size, '>', $TENSORS * $PARTS * $PART, "it is saved as $format");
	is(limited("load, $format", "SELECT modelopt.load('again_$format', '$folder/big.$format')"), 1, 'and loaded again');
	is(query('big', "SELECT new_bytes < 1000, raw_bytes FROM modelopt.versions WHERE model = 'again_$format'"), 't|' . ($TENSORS * $PARTS * $PART + 12),
		'to the bit: there is nothing new to store but metadata');
	unlink "$folder/big.$format";
}

# ---------- the limit is one ----------

like(limited('without files', q{SET modelopt.spill_above = '8GB'; SELECT num_parameters(prune(modelopt.get('big'), 0.5))}), qr/ERROR:  53200: /,
	'with all tensors in memory it would have been too much');
like(limited('temp_file_limit', q{SET modelopt.spill_above = 0; SET temp_file_limit = '50MB'; SELECT num_parameters(prune(modelopt.get('big'), 0.5, scope => 'tensor'))}),
	qr/ERROR:  53400: /, 'files are limited by temp_file_limit');
is(limited('afterwards', q{RESET temp_file_limit; SELECT num_parameters(modelopt.get('big'))}), $TENSORS * $ELEMENTS + 3, 'the session goes on');
is(query('big', 'SELECT count(*) FROM pg_ls_tmpdir()'), 0, 'and gone when they are not needed');
is($session->run('SELECT pg_backend_pid()'), $backend, 'it was one session');
$session->quit;
note(sprintf '%.0f s in all', time - $began);
query('postgres', 'DROP DATABASE big');

done_testing();
