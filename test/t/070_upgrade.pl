# pg_upgrade copies models from one cluster to another as they are.
use strict;
use warnings;

use Cwd qw(realpath);
use File::Basename qw(basename);
use FindBin;
use Test::More;

use Repository qw(fill_repository repository_rows repository_models repository_sequences);
use Session qw(create_database query run_command);

my $SERVER = realpath("$FindBin::RealBin/../../scripts/server");
my ($pg_config) = grep { -x } map { "$_/pg_config" } split /:/, $ENV{PATH};
$pg_config = $ENV{PG_CONFIG} || $pg_config;
chomp(my $bindir = `$pg_config --bindir`);
plan skip_all => "there is no $bindir/pg_upgrade" unless -x "$bindir/pg_upgrade";
plan skip_all => 'there is no openssl program' if system 'command -v openssl >/dev/null 2>&1';

# The servers' user has to get into it, and sockets have short names.
my $scratch = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);
chmod 0755, "$scratch";
my ($old, $new) = ("$scratch/old", "$scratch/new");
my @as_user = $> == 0 ? ('runuser', '-u', (getpwuid((stat "$ENV{PGHOST}/data")[4]))[0], '--') : ();

sub succeeds
{
	my ($title, @command) = @_;
	my ($status, $out, $err) = run_command('', @command);
	return is($status, 0, $title) || diag("$out\n$err");
}

# Ends a server and keeps its folder.
sub halt
{
	my ($folder) = @_;
	open my $file, '<', "$folder/data/postmaster.pid" or die $!;
	my $pid = int <$file>;
	kill INT => $pid;
	select undef, undef, undef, 0.05 while -e "$folder/data/postmaster.pid";
	return;
}

# What pg_upgrade calls, beside the programs that a private server has.
sub complete_programs
{
	my ($folder) = @_;
	for my $program (glob "$bindir/*")
	{
		my $link = "$folder$bindir/" . basename($program);
		-e $link || symlink $program, $link;
	}
	return;
}

succeeds('a server to be upgraded', $SERVER, 'start', $old);
succeeds('and another one', $SERVER, 'start', $new);
halt($new);

my $CONTENT = 'SELECT id, model_digest(m), md5(bytea(m)), sparsity(m) FROM zoo ORDER BY id';
my $content;
my ($rows, $models, $sequences);
{
	local $ENV{PGHOST} = $old;
	create_database('upgraded');
	query('upgraded', q{
		CREATE TABLE zoo (id int, m model);
		INSERT INTO zoo SELECT i, model_agg('w' || t, array_fill((i * t)::real, ARRAY[10, 1000 * i]))
			FROM generate_series(1, 5) i, generate_series(1, 3) t GROUP BY i;
		INSERT INTO zoo SELECT id + 5, prune(m, 0.7) FROM zoo;
		CREATE INDEX ON zoo USING hash (m);
		CREATE VIEW sizes AS SELECT id, model_size(m) FROM zoo;
	});
	$content = query('upgraded', $CONTENT);
	query('upgraded', 'CREATE ROLE dumped_reader');
	fill_repository('upgraded');
	$rows = repository_rows('upgraded');
	$models = repository_models('upgraded');
	$sequences = repository_sequences('upgraded');
	halt($old);
}
is(scalar(split /\n/, $content), 10, 'ten models');

complete_programs($_) for $old, $new;
chdir $old or die $!;
succeeds('pg_upgrade', @as_user, "$new$bindir/pg_upgrade", '--old-bindir', "$old$bindir", '--new-bindir', "$new$bindir",
	'--old-datadir', "$old/data", '--new-datadir', "$new/data", '--socketdir', $old, '--username', 'postgres');
chdir '/';

succeeds('the new server starts with it', $SERVER, 'start', $new);
{
	local $ENV{PGHOST} = $new;
	is(query('upgraded', $CONTENT), $content, 'and has the same models, to the byte');
	is(query('upgraded', 'SELECT count(*) FROM zoo a JOIN zoo b ON a.m = b.m'), 10, 'which are equal to themselves');
	is(query('upgraded', 'SET enable_seqscan = off; SELECT count(*) FROM zoo WHERE m = (SELECT m FROM zoo WHERE id = 7)'), 1, 'and found by the index');
	is(query('upgraded', 'SELECT count(*) FROM sizes'), 10, 'and the view works');
	is_deeply(repository_rows('upgraded'), $rows, 'the repository has the same rows');
	is(repository_models('upgraded'), $models, 'and versions');
	is(repository_sequences('upgraded'), $sequences, 'and sequences');
	is(query('upgraded', 'SELECT count(*) FROM modelopt.audit_verify()'), 0, 'its audit fits');
	is(query('upgraded', q{SELECT key, valid FROM modelopt.verify_signature('fraud#2')}), 'release|t', 'as do signatures');
	is(query('upgraded', q{SELECT modelopt.commit('fraud', model_agg('w', '{1}'), 'after')}), 4, 'and it goes on');
}

END
{
	my $status = $?;
	for my $folder (grep { defined && -d "$_/data" } $old, $new)
	{
		run_command('', $SERVER, 'stop', $folder);
	}
	$? = $status;
}

done_testing();
