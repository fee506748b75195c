# The repository survives pg_dump and pg_restore: every row of every table, and
# it goes on where it ended.
use strict;
use warnings;

use Cwd qw(realpath);
use File::Temp ();
use FindBin;
use Test::More;

use Repository qw(fill_repository repository_rows repository_models repository_sequences);
use Session qw(create_database query run_sql run_command);

plan skip_all => 'there is no openssl program' if system 'command -v openssl >/dev/null 2>&1';
my $scratch = File::Temp->newdir;
my $SERVER = realpath("$FindBin::RealBin/../../scripts/server");

query('postgres', 'CREATE ROLE dumped_reader; CREATE ROLE dumped_owner LOGIN IN ROLE dumped_reader');
create_database('repo');
fill_repository('repo');
my $rows = repository_rows('repo');
my $models = repository_models('repo');
my $sequences = repository_sequences('repo');
my $digest = query('repo', 'SELECT modelopt.audit_digest()');
is(scalar(split /\n/, $models), 6, 'six versions');
is(query('repo', 'SELECT count(*) FROM modelopt.audit_verify()'), 0, 'whose audit fits');
for my $table (qw(named_model access object part tree tree_entry version version_parent metric ref protection tracked_row reflog audit_head audit signing_key signature))
{
	cmp_ok(scalar @{ $rows->{"modelopt_private.$table"} }, '>', 0, "$table has rows");
}
cmp_ok(query('repo', 'SELECT count(*) FROM modelopt_private.object WHERE base_id IS NOT NULL'), '>', 0, 'some objects are differences to others');

# All that is to be as it was, in a database that was restored.
sub same_repository
{
	my ($title, $database, @options) = @_;
	my $restored = repository_rows($database, @options);
	# The type jsonb sorts keys by their bytes in the database's encoding.
	s/\{"ä": 1, "lr": 0\.001\}/{"lr": 0.001, "ä": 1}/ for @{ $restored->{'modelopt_private.version'} };
	is_deeply($restored, $rows, "$title: every row of every table");
	is(repository_models($database, @options), $models, "$title: every byte of every version");
	is(repository_sequences($database, @options), $sequences, "$title: the sequences");
	is(query($database, "SELECT count(*) FROM modelopt.audit_verify(digest => '$digest')", @options), 0, "$title: the audit fits, hash by hash");
	is(query($database, "SELECT key, valid FROM modelopt.verify_signature('fraud#2')", @options), 'release|t', "$title: the signature is valid");
	return;
}

# And it goes on.
sub goes_on
{
	my ($title, $database, @options) = @_;
	is(query($database, q{SELECT modelopt.commit('fraud', model_agg('w', '{1}'), 'next'), modelopt.commit('new', model_agg('w', '{2}'))}, @options),
		'4|1', "$title: the next versions");
	is(query($database, q{SELECT modelopt.roll_forward('fraud', 'champion', 'again')}, @options), 'fraud#2', "$title: and moves");
	query($database, q{UPDATE tracked_zoo SET m = (SELECT model_agg('w', '{6}'))}, @options);
	is(query($database, q{SELECT modelopt.resolve('public.tracked_zoo.1')}, @options), 'public.tracked_zoo.1#2', "$title: tracked tables are tracked");
	like((run_sql($database, q{SELECT modelopt.commit('copied', model_agg('w', '{1}'))}, @options))[2], qr/ERROR:  55000: model "copied" is archived/,
		"$title: what was archived is");
	is(query($database, "SELECT count(*) FROM modelopt.audit_verify(digest => '$digest')", @options), 0, "$title: the audit goes on");
	return;
}

sub succeeds
{
	my ($title, @command) = @_;
	my ($status, $out, $err) = run_command('', @command);
	return is($status, 0, $title) || diag($err);
}

my @psql = ('psql', '-Xqv', 'ON_ERROR_STOP=1', '--output=/dev/null');
my @pg_restore = ('pg_restore', '--exit-on-error');
my %dumps = (
	plain => [ [], [ @psql, '--file' ] ],
	inserts => [ ['--rows-per-insert=1000'], [ @psql, '--file' ] ],
	custom => [ ['--format=custom'], [@pg_restore] ],
	directory => [ [ '--format=directory', '--jobs=2' ], [ @pg_restore, '--jobs=2' ] ]);
for my $form (sort keys %dumps)
{
	my ($dump, $restore) = @{ $dumps{$form} };
	succeeds("pg_dump: $form", 'pg_dump', @$dump, '--file', "$scratch/$form", 'repo');
	create_database("repo_$form", bare => 1);
	succeeds("$form: restored", @$restore, "$scratch/$form", "--dbname=repo_$form");
	same_repository($form, "repo_$form");
	is(query("repo_$form", q{SET ROLE dumped_reader; SELECT modelopt.has_privilege('fraud', 'read'), modelopt.has_privilege('sprache', 'usage')}), 't|f',
		"$form: privileges");
	goes_on($form, "repo_$form");
}

# Section by section, and over what is there.
create_database('repo_data', bare => 1);
succeeds($_, @pg_restore, "--section=$_", "$scratch/custom", '--dbname=repo_data') for 'pre-data', 'data', 'post-data';
same_repository('sections', 'repo_data');
succeeds('--clean', @pg_restore, '--clean', "$scratch/custom", '--dbname=repo_data');
same_repository('--clean', 'repo_data');

# Other encodings, in which digests, hashes and signatures are the same.
for my $encoding ('LATIN1', 'WIN1252')
{
	my $database = 'repo_' . lc $encoding;
	create_database($database, bare => 1, like => "ENCODING '$encoding' TEMPLATE template0");
	succeeds("$encoding: restored", @pg_restore, "$scratch/custom", "--dbname=$database");
	same_repository($encoding, $database);
	goes_on($encoding, $database);
}
# What the other encoding does not have is an error, not something else.
create_database('repo_russian');
query('repo_russian', q{SELECT modelopt.commit('модель', model_agg('w', '{1}'), 'первая')});
succeeds('a dump in Russian', 'pg_dump', '--format=custom', '--file', "$scratch/russian", 'repo_russian');
create_database('repo_not_latin', bare => 1, like => "ENCODING 'LATIN1' TEMPLATE template0");
like((run_command('', 'pg_restore', "$scratch/russian", '--dbname=repo_not_latin'))[2], qr/has no equivalent in encoding "LATIN1"/,
	'names that an encoding lacks cannot be restored into it');

# Another server, where the roles are not.
my $elsewhere = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);
chmod 0755, "$elsewhere";
succeeds('another server', $SERVER, 'start', "$elsewhere/server");
{
	local $ENV{PGHOST} = "$elsewhere/server";
	create_database('repo', bare => 1);
	succeeds('no roles: restored', @pg_restore, "$scratch/custom", '--dbname=repo');
	same_repository('no roles', 'repo');
	is(query('repo', q{SELECT DISTINCT role, role_exists FROM modelopt.privileges ORDER BY 1}), "dumped_reader|f\npublic|t", 'no roles: the view tells which');
	like((run_sql('repo', q{SELECT modelopt.roll_forward('fraud', 'champion', 'again')}))[2], qr/ERROR:  42501: alias "champion" of model "fraud" is protected/,
		'no roles: what only they may move nobody moves');
	query('repo', 'CREATE ROLE dumped_reader');
	goes_on('no roles', 'repo');
	is(query('repo', q{SET ROLE dumped_reader; SELECT modelopt.has_privilege('fraud', 'read')}), 't', 'no roles: who comes later has what was granted');
}
run_command('', $SERVER, 'stop', "$elsewhere/server");

# An owner of the extension who is no superuser dumps and restores it.
my @as_owner = ('--username=dumped_owner');
for my $database ('owned', 'owned_again')
{
	query('postgres', "CREATE DATABASE $database OWNER dumped_owner");
}
query('owned', 'CREATE EXTENSION modelopt', @as_owner);
fill_repository('owned', @as_owner);
$rows = repository_rows('owned', @as_owner);
$models = repository_models('owned', @as_owner);
$sequences = repository_sequences('owned', @as_owner);
$digest = query('owned', 'SELECT modelopt.audit_digest()', @as_owner);
for my $form ('custom', 'plain')
{
	query('postgres', 'DROP DATABASE owned_again');
	query('postgres', 'CREATE DATABASE owned_again OWNER dumped_owner');
	my ($dump, $restore) = @{ $dumps{$form} };
	succeeds("the owner dumps: $form", 'pg_dump', @$dump, '--file', "$scratch/owned", @as_owner, 'owned');
	succeeds('and restores', @$restore, "$scratch/owned", @as_owner, '--dbname=owned_again');
	unlink "$scratch/owned";
}
same_repository('as owner', 'owned_again', @as_owner);
goes_on('as owner', 'owned_again', @as_owner);

# Which is all that the owner may do with the tables.
for my $change (
	q{INSERT INTO modelopt_private.audit SELECT * FROM modelopt_private.audit LIMIT 1},
	q{INSERT INTO modelopt_private.version SELECT * FROM modelopt_private.version LIMIT 0},
	q{INSERT INTO modelopt_private.part SELECT * FROM modelopt_private.part LIMIT 1},
	q{UPDATE modelopt_private.audit SET actor = 'x'}, q{DELETE FROM modelopt_private.audit}, q{TRUNCATE modelopt_private.audit},
	q{DELETE FROM modelopt_private.audit_head}, q{UPDATE modelopt_private.ref SET name = 'x'},
	q{ALTER TABLE modelopt_private.audit DISABLE TRIGGER ALL}, q{DROP TABLE modelopt_private.audit}, q{SET session_replication_role = replica},
	q{ALTER EXTENSION modelopt DROP TABLE modelopt_private.audit}, q{SELECT modelopt_private.in_verb()})
{
	like((run_sql('owned', $change, @as_owner))[2], qr/ERROR:  42501: /, "the owner may not: $change");
}
like((run_sql('owned', q{INSERT INTO modelopt_private.audit SELECT * FROM modelopt_private.audit}, @as_owner))[2],
	qr/rows of "audit" are made by the functions of the schema modelopt.*Only a table that is empty can be filled from a dump/s, 'and is told why');

query('postgres', 'DROP DATABASE owned; DROP DATABASE owned_again');
done_testing();
