# Tracked tables go through pg_dump and pg_restore with their history, and stay
# tracked; restoring rows makes no versions.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query run_sql run_command);

my $scratch = File::Temp->newdir;

# All that tells tracked tables' histories apart.
my $HISTORY = q{
	SELECT v.model, v.version, v.digest, v.author, v.message, v.tags FROM modelopt.versions v ORDER BY 1, 2;
	SELECT model, kind, name, version FROM modelopt.refs ORDER BY 1, 2, 3;
	SELECT model, kind, name, old_version, new_version, operation, reason FROM modelopt.reflog ORDER BY at;
	SELECT model, number, operation, hash FROM modelopt.audit ORDER BY 1, 2;
	SELECT * FROM modelopt.tracked ORDER BY prefix;
	SELECT * FROM modelopt.tracked_rows ORDER BY model;
	SELECT tgrelid::regclass, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE '00_modelopt%' ORDER BY 1, 2;
	SELECT id, note, model_digest(w) FROM nets ORDER BY id;
	SELECT region, id, model_digest(w) FROM parted ORDER BY region, id;};

create_database('tracked');
query('tracked', q{
	CREATE FUNCTION made(VARIADIC real[]) RETURNS model LANGUAGE sql AS $$ SELECT public.model_agg('w', $1) $$;
	CREATE TABLE nets (gone text, id integer PRIMARY KEY, note text, w model);
	ALTER TABLE nets DROP COLUMN gone;
	CREATE TABLE parted (region text, id integer, w model, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
	CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
	CREATE TABLE parted_us (w model, id integer NOT NULL, region text NOT NULL);
	ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');
	SELECT modelopt.track('nets', 'w', message_column => 'note');
	SELECT modelopt.track('parted', 'w', key => 'region, id');
	INSERT INTO nets VALUES (1, 'one', made(1)), (2, 'two', made(2)), (3, 'nothing', NULL);
	UPDATE nets SET w = made(1, 1), note = 'more' WHERE id = 1;
	DELETE FROM nets WHERE id = 2;
	INSERT INTO parted VALUES ('eu', 1, made(3)), ('us', 1, made(4));
	UPDATE parted SET w = made(5, 5);
	ALTER TABLE nets RENAME id TO number;
	ALTER TABLE nets RENAME number TO id;});
my $history = query('tracked', $HISTORY);
is(() = $history =~ /\|row deleted\|/g, 4, 'there is something to keep');

# What tracking is to do after a restore.
sub goes_on
{
	my ($title, $database) = @_;
	is(query($database, $HISTORY), $history, "$title has the same history, and no more");
	query($database, q{
		UPDATE nets SET w = made(6, 6), note = 'after' WHERE id = 1;
		INSERT INTO nets VALUES (2, 'again', made(7));
		UPDATE parted SET w = made(8) WHERE region = 'us';
		TRUNCATE parted_eu;});
	is(query($database, q{SELECT name, head, versions FROM modelopt.models ORDER BY name}),
		"public.nets.1|3|3\npublic.nets.2|2|2\npublic.parted.eu,1||2\npublic.parted.us,1|3|3", "$title is tracked as before");
	is(query($database, q{SELECT modelopt.restore_row('nets', '1', 1); SELECT w = made(1) FROM nets WHERE id = 1}),
		"public.nets.1#4\nt", "versions of before can be restored in $title");
	is(query($database, 'SELECT count(*) FROM modelopt.audit_verify()'), 0, "audit of $title is whole");
	my ($status, $out, $err) = run_sql($database, q{SELECT modelopt.commit('public.nets.1', made(9))});
	like($err, qr/ERROR:  55006: /, "branches in $title are the rows'");
	return;
}

for my $format ('plain', 'custom', 'directory')
{
	my ($status, $out, $err) = run_command('', 'pg_dump', "--format=$format", '--file', "$scratch/$format", 'tracked');
	is($status, 0, "pg_dump --format=$format") or diag($err);
	create_database("tracked_$format", bare => 1);
	my @restore = $format eq 'plain'
	  ? ('psql', '-Xqv', 'ON_ERROR_STOP=1', '--output=/dev/null', '--file', "$scratch/plain")
	  : ('pg_restore', '--exit-on-error', "$scratch/$format");
	($status, $out, $err) = run_command('', @restore, "--dbname=tracked_$format");
	is($status, 0, "a $format dump restores") or diag($err);
	goes_on("a $format dump", "tracked_$format");
}

# A dump without the table still restores; its models are models like others.
my ($status, $out, $err) = run_command('', 'pg_dump', '--exclude-table=nets', '--file', "$scratch/without", 'tracked');
is($status, 0, 'pg_dump --exclude-table') or diag($err);
create_database('tracked_without', bare => 1);
($status, $out, $err) = run_command('', 'psql', '-Xqv', 'ON_ERROR_STOP=1', '--output=/dev/null', '--file', "$scratch/without", '--dbname=tracked_without');
is($status, 0, 'and it restores') or diag($err);
is(query('tracked_without', q{SELECT modelopt.commit('public.nets.1', made(9))}), 3, 'models of a table that is not there can be committed to');

# Data alone, into tables whose triggers are there: --disable-triggers keeps
# them from being told twice.
($status, $out, $err) = run_command('', 'pg_dump', '--data-only', '--disable-triggers', '--table=nets', '--file', "$scratch/data", 'tracked');
is($status, 0, 'pg_dump --data-only') or diag($err);
query('tracked_plain', q{ALTER TABLE nets DISABLE TRIGGER USER; DELETE FROM nets; ALTER TABLE nets ENABLE TRIGGER USER});
my $before = query('tracked_plain', 'SELECT max(at) FROM modelopt.reflog');
($status, $out, $err) = run_command('', 'psql', '-Xqv', 'ON_ERROR_STOP=1', '--output=/dev/null', '--file', "$scratch/data", '--dbname=tracked_plain');
is($status, 0, 'data restores') or diag($err);
is(query('tracked_plain', 'SELECT max(at) FROM modelopt.reflog'), $before, 'and makes no versions');
is(query('tracked_plain', q{SELECT modelopt.track('nets', 'w', message_column => 'note')}), 1, 'until track() looks at it');

done_testing();
