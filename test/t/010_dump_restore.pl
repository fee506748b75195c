# Models survive pg_dump and COPY to the bit, into any encoding.
use strict;
use warnings;

use FindBin;
use Test::More;

use Session qw(create_database query run_sql run_command);

my $scratch = File::Temp->newdir;
my $checkpoints = "$FindBin::RealBin/../data";

# What a restored table is compared by: names, digests, how they are stored, and
# all of their bytes, in which nothing belongs to one database or cluster: so
# pg_upgrade may copy them as they are.
my $CONTENT = q{SELECT name, model_digest(m), model_size(m), model_info(m) - 'format_version', md5(bytea(m)) FROM zoo ORDER BY name};
my $OIDS = q{SELECT 'model'::regtype::oid, 'model_in'::regproc::oid, 'zoo'::regclass::oid};

create_database('source');
query('source', 'CREATE TABLE zoo (name text PRIMARY KEY, m model)');
for my $file (qw(digits_mlp.pth digits_cnn.pth tied_transformer.pth shapes.pth dtypes.pth))
{
	query('source', qq{\\set bytes `base64 < $checkpoints/$file | tr -d '\\n'`\n}
		  . qq{INSERT INTO zoo VALUES ('$file', model_read(decode(:'bytes', 'base64'), key => ''));});
}
query('source', q{
	INSERT INTO zoo SELECT 'pruned', prune(m, 0.9) FROM zoo WHERE name = 'digits_mlp.pth';
	INSERT INTO zoo SELECT 'with words', model_set_metadata(m, '{"für": "Müller"}') FROM zoo WHERE name = 'pruned';
	INSERT INTO zoo SELECT 'large', model_agg('w' || t, data ORDER BY t)
		FROM (SELECT t, array_agg((i * t % 1000 / 8.0)::real ORDER BY i) AS data
			  FROM generate_series(1, 5) t, generate_series(1, 60000) i GROUP BY t) d;
	INSERT INTO zoo VALUES ('nothing', NULL);
	CREATE INDEX ON zoo USING hash (m);
	CREATE TABLE small_default (m model DEFAULT NULL, CHECK (num_parameters(m) > 0));
	CREATE VIEW sizes AS SELECT name, model_size(m) AS size FROM zoo WHERE m <> prune(m, 0.1);
});
my $content = query('source', $CONTENT);
is(scalar(split /\n/, $content), 9, 'nine rows to be kept');
like($content, qr/sparse/, 'one of them is stored sparse');

# Restores a dump into a new database of some encoding and compares.
sub restores
{
	my ($title, $database, $like, @command) = @_;
	create_database($database, like => $like, bare => 1);
	my ($status, $out, $err) = run_command('', @command, "--dbname=$database");
	is($status, 0, "$title restores") or diag($err);
	is(query($database, "SET client_encoding = 'UTF8'; $CONTENT"), $content, "$title has the same models");
	isnt(query($database, $OIDS), query('source', $OIDS), "$title has other oids");
	return;
}

my ($status, $out, $err) = run_command('', 'pg_dump', '--file', "$scratch/plain", 'source');
is($status, 0, 'pg_dump') or diag($err);
my @psql = ('psql', '-Xqv', 'ON_ERROR_STOP=1', '--output=/dev/null');
restores('a plain dump', 'plain', '', @psql, '--file', "$scratch/plain");
restores('a plain dump in LATIN1', 'latin', "ENCODING 'LATIN1' TEMPLATE template0", @psql, '--file', "$scratch/plain");

for my $format ('custom', 'directory')
{
	($status, $out, $err) = run_command('', 'pg_dump', "--format=$format", '--file', "$scratch/$format", 'source');
	is($status, 0, "pg_dump --format=$format") or diag($err);
	restores("a $format dump", $format, '', 'pg_restore', '--exit-on-error', "$scratch/$format");
	restores("a $format dump in EUC_JP", "${format}_eucjp", "ENCODING 'EUC_JP' TEMPLATE template0", 'pg_restore', '--exit-on-error', "$scratch/$format");
}

($status, $out, $err) = run_command('', 'pg_dump', '--inserts', '--file', "$scratch/inserts", 'source');
is($status, 0, 'pg_dump --inserts') or diag($err);
restores('a dump of INSERTs', 'inserts', '', @psql, '--file', "$scratch/inserts");
is(query('inserts', 'SELECT count(*) FROM sizes'), query('source', 'SELECT count(*) FROM sizes'), 'the view works after it');

# Names and metadata are UTF-8 in the value and in the database's encoding
# outside of it, if that has the characters.
my $MADE = q{SELECT model_digest(model_set_metadata(model_agg('naïve.größe', '{1}'), '{"für": "Müller"}'))};
is(query('latin', $MADE), query('source', $MADE), 'a model made in LATIN1 is the one made in UTF-8');
is(query('latin', q{SELECT model_metadata(m) ->> 'für' FROM zoo WHERE name = 'with words'}), 'Müller', 'metadata is shown in LATIN1');
is(query('latin', q{SELECT model_info(m) ->> 'metadata_keys' FROM zoo WHERE name = 'with words'}), '["für"]', 'and so are its keys');
is(query('latin', q{SELECT t.name || tensor(m, t.name)::text FROM (SELECT model_agg('größe', '{1}') AS m) s, tensors(m) t}), 'größe{1}', 'and names');
is(query('latin', q{SELECT l.name, kind FROM (SELECT model_set_metadata(model_agg('größe.weight', '{1}'), '{"layer_kinds": {"größe": "Maß"}}') AS m) s, layers(m) l}),
	'größe|Maß', 'and layers');
is(query('latin', q{SELECT num_parameters(m), tensor(m, 'parameter') IS NOT NULL, sparsity(m) > 0 FROM zoo WHERE name = 'shapes.pth'}), '22|t|t',
	'a model with names that LATIN1 does not have is read there');
my ($denied, $none, $why) = run_sql('latin', q{SELECT t.name FROM zoo, tensors(m) t WHERE zoo.name = 'shapes.pth'});
like($why, qr/ERROR:  22P05: /, 'though its names cannot be shown');
query('latin', qq{\\set bytes `base64 < $checkpoints/shapes.pth | tr -d '\\n'`\n}
	  . q{CREATE TABLE again AS SELECT model_read(decode(:'bytes', 'base64'), key => '') AS m});
is(query('latin', q{SELECT count(*) FROM again JOIN zoo USING (m) WHERE name = 'shapes.pth'}), 1, 'a checkpoint read in LATIN1 is the one read in UTF-8');
($denied, $none, $why) = run_sql('latin', q{SELECT tensor(m, 'größte') FROM zoo WHERE name = 'pruned'});
like($why, qr/ERROR:  42704: .*"größte"/, 'errors, too, are in the encoding of the client');

# COPY, both forms.
for my $form ('text', 'csv', 'binary')
{
	query('source', "\\copy zoo TO '$scratch/$form' (FORMAT $form)");
	query('source', "CREATE TABLE back_$form (LIKE zoo);\n\\copy back_$form FROM '$scratch/$form' (FORMAT $form)");
	is(query('source', "SELECT count(*) FROM zoo JOIN back_$form b USING (name) WHERE zoo.m = b.m OR (zoo.m IS NULL AND b.m IS NULL)"),
		9, "COPY in $form form brings all back");
}

# A binary file with a byte flipped in a model's header is refused, not read.
open my $from, '<:raw', "$scratch/binary" or die $!;
my $bytes = do { local $/; <$from> };
close $from;
my $at = index $bytes, query('source', q{SELECT convert_from(substr(model_send(m), 1, 4), 'UTF8') FROM zoo WHERE name = 'large'});
isnt($at, -1, 'a model begins with its magic');
substr($bytes, $at + 4, 1) = "\xff";
open my $to, '>:raw', "$scratch/damaged" or die $!;
print $to $bytes;
close $to;
($status, $out, $err) = run_sql('source', "\\copy back_binary FROM '$scratch/damaged' (FORMAT binary)");
like($err, qr/ERROR:  (22P0[23]|0A000): /, 'a damaged binary file is an error of the data');

done_testing();
