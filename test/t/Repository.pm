# Repository.pm
#	A repository with something of everything, for the tests that move it from
#	one place to another, and what two places are compared by.
package Repository;

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use Session qw(query run_command);

our @EXPORT_OK = qw(fill_repository repository_rows repository_models repository_sequences sign_version);

# Fills the repository of a database; the roles that it grants to are to be there.
sub fill_repository
{
	my ($database, @options) = @_;
	query($database, q{
		SELECT modelopt.register('empty', 'no versions yet', '{"für": "später"}');
		-- Large enough for several parts and blocks, and for differences between versions.
		SELECT modelopt.commit('fraud', model_agg(name, data ORDER BY name), 'as trained', params => '{"lr": 1e-3, "ä": 1}',
			metrics => '{"auc": 0.93, "loss": 1e-300}', tags => '{"team": "Betrug"}')
		FROM (SELECT 'w' || t AS name, array_agg((sin(i * t) / 3)::real ORDER BY i) AS data
			FROM generate_series(1, 3) t, generate_series(1, 40000) i GROUP BY t) d;
		SELECT modelopt.commit('fraud', prune(modelopt.get('fraud'), 0.5, include => '{w1,w2,w3}'), 'half of the weights');
		SELECT modelopt.branch('fraud', 'exp', 'fraud#1');
		SELECT modelopt.commit('fraud/exp', model_agg(t.name, CASE t.name WHEN 'w2' THEN array_fill(0.25::real, ARRAY[t.parameters::int])
			ELSE tensor(modelopt.get('fraud#1'), t.name) END ORDER BY t.name), 'another layer', relation => 'finetune',
			parents => '{fraud#2}') FROM tensors(modelopt.get('fraud#1')) t;
		SELECT modelopt.commit('sprache', model_set_metadata(model_agg('größe.ß', '{{1,-0.0},{"NaN","Infinity"}}'), '{"für": "Müller"}'), 'Grüße');
		SELECT modelopt.copy('fraud#2', 'copied', 'a copy');
		SELECT modelopt.tag('fraud#1', 'v1', 'the first'), modelopt.tag('sprache#1', 'größe');
		SELECT modelopt.alias('fraud', 'champion', 'fraud#1', reason => 'passes the holdout');
		SELECT modelopt.alias('fraud', 'champion', 'fraud#2', reason => 'smaller');
		SELECT modelopt.rollback('fraud', 'champion', reason => 'p99 doubled');
		SELECT modelopt.protect('fraud', 'champ*', '{dumped_reader}');
		SELECT modelopt.grant_read('fraud', 'dumped_reader'), modelopt.grant_usage('fraud', 'public'), modelopt.grant_create('dumped_reader');
		SELECT modelopt.log_metric('fraud#2', 'f1', 0.1 + 0.2, 'holdout', 7);
		SELECT modelopt.set_reference('fraud#2', 'SELECT i, ''größe'' AS "größe" FROM generate_series(1, 100) i', 'SELECT 0.5 AS score');
		SELECT modelopt.set_reference_from_serving('fraud#1');
		SELECT modelopt.set_drift_threshold('fraud', 'psi', 0.1, 0.3);
		SELECT modelopt.archive('copied', 'enough');
		CREATE TABLE tracked_zoo (id integer PRIMARY KEY, m model);
		SELECT modelopt.track('tracked_zoo', 'm');
		INSERT INTO tracked_zoo SELECT 1, model_agg('w', '{5}');
		SELECT modelopt.register('dropped'); SELECT modelopt.drop('dropped', 'a mistake')}, @options);
	sign_version($database, 'fraud#2', 'release', @options);
	return;
}

# Has a version signed by the openssl program, with a key that is registered.
sub sign_version
{
	my ($database, $ref, $key, @options) = @_;
	my $folder = File::Temp->newdir;
	my $to_hex = sub { open my $file, '<:raw', "$folder/$_[0]" or die $!; local $/ = undef; return unpack 'H*', readline $file };
	my $openssl = sub { my ($status, $out, $err) = run_command('', 'openssl', @_); die "openssl @_: $err" if $status };

	$openssl->('genpkey', '-algorithm', 'ED25519', '-out', "$folder/key");
	$openssl->('pkey', '-in', "$folder/key", '-pubout', '-out', "$folder/public");
	query($database, "SELECT modelopt.register_key('$key', '\\x" . $to_hex->('public') . "')", @options);
	open my $manifest, '>:raw', "$folder/manifest" or die $!;
	print $manifest query($database, "SELECT modelopt.manifest('$ref')", @options);
	close $manifest;
	$openssl->('pkeyutl', '-sign', '-rawin', '-in', "$folder/manifest", '-inkey', "$folder/key", '-out', "$folder/signature");
	query($database, "SELECT modelopt.sign('$ref', '$key', '\\x" . $to_hex->('signature') . "')", @options);
	return;
}

# Every row of every table, sorted, in UTF-8 whatever the database's encoding is.
sub repository_rows
{
	my ($database, @options) = @_;
	my @tables = split /\n/, query($database, q{
		SELECT oid::regclass FROM pg_class WHERE relnamespace = 'modelopt_private'::regnamespace AND relkind = 'r' ORDER BY relname}, @options);
	my %rows;
	for my $table (@tables)
	{
		my $text = query($database, "SET client_encoding = 'UTF8'; COPY (SELECT * FROM $table) TO STDOUT", @options);
		$rows{$table} = [ sort split /\n/, $text ];
	}
	return \%rows;
}

# The bytes of every version, with all weights read.
sub repository_models
{
	my ($database, @options) = @_;
	return query($database, q{
		SET client_encoding = 'UTF8';
		SELECT model, version, digest, model_digest, md5(bytea(modelopt.get(model || '#' || version))) FROM modelopt.versions ORDER BY model COLLATE "C", version}, @options);
}

sub repository_sequences
{
	my ($database, @options) = @_;
	my @sequences = split /\n/, query($database, q{
		SELECT oid::regclass FROM pg_class WHERE relnamespace = 'modelopt_private'::regnamespace AND relkind = 'S' ORDER BY relname}, @options);
	return join "\n", map { "$_ " . query($database, "SELECT last_value, is_called FROM $_", @options) } @sequences;
}

1;
