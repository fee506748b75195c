# Models in files of the server: who may, which files, and that a file is
# there whole or not at all.
use strict;
use warnings;

use Cwd qw(abs_path);
use Fcntl ':mode';
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use POSIX qw(mkfifo);
use Test::More;
use Time::HiRes qw(sleep);

use Session qw(create_database query run_sql);

my $data = abs_path(dirname(__FILE__) . '/../data');

# The server may run as another user than we do.
my $folder = tempdir(CLEANUP => 1);
chmod 0777, $folder;

create_database('files');
query('files', q{CREATE TABLE zoo (name text PRIMARY KEY, m model); GRANT SELECT ON zoo TO public;
	INSERT INTO zoo SELECT 'two', model_agg('layer.' || i, ARRAY[i, -i, 0.5]::real[] ORDER BY i) FROM generate_series(1, 2) i;
	INSERT INTO zoo SELECT 'one', model_agg('array', '{{1,2},{3,4}}')});

# Puts a file into the folder, readable by the server.
sub put
{
	my ($name, $content) = @_;
	open my $out, '>:raw', "$folder/$name" or die "$name: $!";
	print $out $content;
	close $out;
	chmod 0644, "$folder/$name";
	return;
}

sub slurp
{
	my ($name) = @_;
	open my $in, '<:raw', "$folder/$name" or die "$name: $!";
	local $/ = undef;
	return readline $in;
}

sub put_copy
{
	my ($file, $name) = @_;
	copy("$data/$file", "$folder/$name") or die "$file: $!";
	chmod 0644, "$folder/$name";
	return;
}

# What is in the folder, temporary files included.
sub entries
{
	opendir my $handle, $folder or die $!;
	return join ' ', sort grep { !/^\.\.?$/ } readdir $handle;
}

sub empty_folder
{
	unlink map { "$folder/$_" } split / /, entries();
	return;
}

# Runs SQL that is to fail, and returns its message.
sub failure
{
	my ($sql, @options) = @_;
	my ($status, $out, $err) = run_sql('files', $sql, @options);
	return $status ? $err : "succeeded: $out";
}

sub load_failure
{
	my ($name) = @_;
	return failure("SELECT model_load('$folder/$name')");
}

# ---------- there and back ----------

for my $name (qw(two.pt two.pth two.safetensors two.npz one.npy))
{
	my ($model, $extension) = split /\./, $name;
	my %format = (pt => 'pytorch', pth => 'pytorch');
	my $format = $format{$extension} // $extension;
	my $size = query('files', "SELECT model_save(m, '$folder/$name') FROM zoo WHERE name = '$model'");
	is($size, -s "$folder/$name", "$name: model_save returns the size of the file");
	is(unpack('H*', slurp($name)), query('files', "SELECT encode(model_write(m, '$format'), 'hex') FROM zoo WHERE name = '$model'"),
		"$name: it has what model_write makes");
	is(query('files', "SELECT model_set_metadata(model_load('$folder/$name'), '{}') = m FROM zoo WHERE name = '$model'"), 't',
		"$name: model_load reads the same model");
	is(S_IMODE((stat "$folder/$name")[2]), 0644, "$name: the file has the permissions that COPY gives");
}
is(entries(), 'one.npy two.npz two.pt two.pth two.safetensors', 'nothing else is left in the folder');
is(query('files', "SELECT model_load('$folder/two.npz') = model_read(pg_read_binary_file('$folder/two.npz'))"), 't',
	'model_load is model_read of the bytes');

# Which format: the argument, or the name.
query('files', "SELECT model_save(m, '$folder/plain', 'npz') FROM zoo WHERE name = 'two'");
is(slurp('plain'), slurp('two.npz'), 'the format may be told');
query('files', "SELECT model_save(m, '$folder/odd.npz', format => 'safetensors') FROM zoo WHERE name = 'two'");
is(slurp('odd.npz'), slurp('two.safetensors'), 'and then the name says nothing');
is(query('files', "SELECT count(*) FROM tensors(model_load('$folder/odd.npz'))"), 2, 'nor when it is loaded');
for my $name ('model', 'model.', '.npz', 'model.txt', 'v1.2/model', 'model.npz.gz', 'model.PT ')
{
	like(failure("SELECT model_save(m, '$folder/$name') FROM zoo WHERE name = 'two'"),
		qr/ERROR:  22023: the name of file ".*" does not say in which format to write it.*HINT:  Give the format, or a name that ends in one of: /s,
		"\"$name\" says no format");
}
like(failure("SELECT model_save(m, '$folder/x.npz', 'zip') FROM zoo"), qr/ERROR:  22023: unknown model format "zip"/, 'an unknown format');
like(failure("SELECT model_load('$folder/two.npz', format => 'pytorch')"), qr/ERROR:  22P03: zip archive is no PyTorch checkpoint.*HINT:  The bytes look like an archive of NumPy arrays/s,
	'the wrong format');
is(query('files', "SELECT model_save(NULL, '$folder/x.npz') IS NULL, model_save(m, NULL) IS NULL, model_load(NULL) IS NULL FROM zoo WHERE name = 'one'"),
	't|t|t', 'null in, null out');
like(failure("SELECT model_load('$folder/two.npz', format => NULL)"), qr/ERROR:  22004: format must not be null/, 'but for the format');
empty_folder();

# ---------- who may ----------

query('files', q{
	CREATE ROLE nobody_much LOGIN;
	CREATE ROLE file_reader LOGIN IN ROLE pg_read_server_files;
	CREATE ROLE file_writer LOGIN IN ROLE pg_write_server_files});
put_copy('digits_mlp.npz', 'digits.npz');
my $save = "SELECT model_save(m, '$folder/saved.npz') FROM zoo WHERE name = 'two'";
my $load = "SELECT count(*) FROM tensors(model_load('$folder/digits.npz'))";
for my $role (qw(nobody_much file_writer))
{
	like(failure($load, "--username=$role"),
		qr/ERROR:  42501: permission denied to load a model from a file.*pg_read_server_files.*model_read/s, "$role may not load");
	like(failure("SELECT model_load('no such file')", "--username=$role"), qr/ERROR:  42501: /, 'and learns nothing of what is there');
}
for my $role (qw(nobody_much file_reader))
{
	like(failure($save, "--username=$role"),
		qr/ERROR:  42501: permission denied to save a model to a file.*pg_write_server_files.*model_write/s, "$role may not save");
}
is(query('files', $load, '--username=file_reader'), 6, 'a member of pg_read_server_files may load');
is(query('files', $save, '--username=file_writer'), -s "$folder/saved.npz", 'a member of pg_write_server_files may save');

# ---------- which files ----------

like(load_failure('missing.npz'), qr/ERROR:  58P01: could not open file ".*missing\.npz" for reading: No such file or directory/, 'no such file');
like(failure("SELECT model_load('$folder')"), qr/ERROR:  42809: "\Q$folder\E" is a directory/, 'a directory');
like(failure("SELECT model_load('PG_VERSION')"), qr/ERROR:  22P03: bytes are in no model format/, 'a relative path starts in the data directory');
mkfifo("$folder/pipe", 0666) or die $!;
chmod 0666, "$folder/pipe";
like(load_failure('pipe'), qr/ERROR:  42809: ".*pipe" is not a regular file/, 'a pipe is not waited for');
put('empty', '');
like(load_failure('empty'), qr/ERROR:  22P03: .*There|ERROR:  22P03: .*no bytes/s, 'an empty file');
like(failure("SELECT model_load('" . '/x' x 600 . "')"), qr/ERROR:  42602: path of a file is too long/, 'a long path');

my $save_to = 'SELECT model_save(m, %s) FROM zoo WHERE name = \'two\'';
like(failure(sprintf $save_to, q{'two.npz'}), qr/ERROR:  42602: relative path not allowed for model_save/, 'a relative path to save to');
like(failure(sprintf $save_to, "'$folder/../two'"), qr/ERROR:  22023: /, 'dots are taken out of a path');
like(failure(sprintf $save_to, "'$folder/missing/two.npz'"), qr/ERROR:  58P01: could not create file ".*missing\/two\.npz": No such file or directory/,
	'no such directory to save to');
like(failure(sprintf $save_to, "'$folder/pipe', 'npz'"), qr/ERROR:  42809: ".*pipe" is not a regular file/, 'a pipe to save to');
mkdir "$folder/dir.npz";
like(failure(sprintf $save_to, "'$folder/dir.npz'"), qr/ERROR:  42809: ".*dir\.npz" is a directory/, 'a directory to save to');
rmdir "$folder/dir.npz";
mkdir "$folder/closed";
chmod 0555, "$folder/closed";
like(failure(sprintf $save_to, "'$folder/closed/two.npz'"), qr/ERROR:  42501: could not create file ".*closed\/two\.npz": Permission denied/,
	'a directory that the server may not write');
rmdir "$folder/closed";
empty_folder();

# ---------- whole or not at all ----------

# A failure that comes before the first byte, with a file there and without.
put('kept.npz', 'precious');
query('files', q{INSERT INTO zoo SELECT 'bad', model_agg('../up', '{1}')});
for my $name (qw(kept.npz new.npz))
{
	like(failure("SELECT model_save(m, '$folder/$name') FROM zoo WHERE name = 'bad'"),
		qr/ERROR:  0A000: model has a tensor that an npz file cannot have/, "$name: what cannot be written");
}
is(slurp('kept.npz'), 'precious', 'the file that was there is as it was');
is(entries(), 'kept.npz', 'and nothing is left');

# What is replaced hands on its permissions; a link is replaced, not followed.
query('files', "SELECT model_save(m, '$folder/private.npz') FROM zoo WHERE name = 'two'");
my $owner = (stat "$folder/private.npz")[4];
SKIP:
{
	skip 'the server is another user', 1 if $owner != $> && $> != 0;
	chmod 0600, "$folder/private.npz";
	query('files', "SELECT model_save(m, '$folder/private.npz') FROM zoo WHERE name = 'one'");
	is(S_IMODE((stat "$folder/private.npz")[2]), 0600, 'a private file stays private');
}
symlink 'kept.npz', "$folder/link.npz" or die $!;
query('files', "SELECT model_save(m, '$folder/link.npz') FROM zoo WHERE name = 'one'");
ok(!-l "$folder/link.npz", 'a link is replaced');
is(slurp('kept.npz'), 'precious', 'and what it led to is as it was');
empty_folder();

# A gigabyte of zeros is small here, and takes a while to be written.
query('files', q{
	CREATE FUNCTION little(value bigint, size int) RETURNS bytea LANGUAGE sql AS
	$$ SELECT string_agg(set_byte('\x00', 0, (value >> (8 * i) & 255)::int), '' ORDER BY i) FROM generate_series(0, size - 1) i $$;
	INSERT INTO zoo SELECT 'huge', ('mdlo'::bytea || '\x01000000' || little(1, 4) || little(1, 4) || little(88, 4) || little(2, 4) ||
		little(2, 4) || little(192 + length(stored), 8) ||
		sha256('\x01000000'::bytea || 'w'::bytea || '\x0101' || little(134217728, 8) || digest || '\x02000000'::bytea || '{}'::bytea) ||
		little(length(stored), 8) || little(134217728, 8) || '\x0101' || little(0, 14) || digest ||
		little(0, 4) || '\x01000100' || little(134217728, 8) || 'w'::bytea || little(0, 7) || '{}'::bytea || '[]'::bytea ||
		little(0, 28) || stored)::model
	FROM (VALUES (decode(repeat('00', 16777216), 'hex'),
	              '\x49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14'::bytea)) v (stored, digest)});
put('huge.npz', 'precious');
for my $end (qw(cancel terminate))
{
	my $session = Session->new('files');
	my $pid = $session->run('SELECT pg_backend_pid()');
	$session->start("SELECT model_save(m, '$folder/huge.npz') FROM zoo WHERE name = 'huge'");
	my $seen = 0;
	for (1 .. 3000)
	{
		my ($temporary) = grep { /^\.modelopt-.*\.tmp$/ } split / /, entries();
		$seen = defined $temporary && (-s "$folder/$temporary" // 0) > 0;
		last if $seen || slurp('huge.npz') ne 'precious';
		sleep 0.01;
	}
	ok($seen, "$end: a temporary file grows beside it");
	query('files', "SELECT pg_${end}_backend($pid)");
	if ($end eq 'cancel')
	{
		like($session->finish, qr/ERROR:  57014: /, 'the query is cancelled');
		$session->quit;
	}
	else
	{
		eval { $session->finish };
		for (1 .. 3000)
		{
			last if query('files', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") == 0;
			sleep 0.01;
		}
	}
	is(entries(), 'huge.npz', "$end: nothing is left of it");
	is(slurp('huge.npz'), 'precious', "$end: the file that was there is as it was");
}

# What is too large for a value is not too large for a file.
like(failure(q{SELECT length(model_write(m, 'npz')) FROM zoo WHERE name = 'huge'}),
	qr/ERROR:  54000: model is too large to be written as a value of type bytea/, 'more than a value can have');
for my $extension (qw(safetensors npz npy pth))
{
	my $size = query('files', "SELECT model_save(m, '$folder/huge.$extension') FROM zoo WHERE name = 'huge'");
	cmp_ok($size, '>', 1073741824, "$extension: saved to a file");
	is($size, -s "$folder/huge.$extension", "$extension: all of it");
	unlink "$folder/huge.$extension" if $extension ne 'safetensors';
}
is(query('files', "SELECT sparsity(model_load('$folder/huge.safetensors'))"), 1, 'and loaded from one');
like(failure("CREATE TABLE heap AS SELECT model_load('$folder/huge.safetensors') AS m"),
	qr/ERROR:  54000: model of \d+ bytes is too large for a stored value/, 'but it cannot be stored in a table');
empty_folder();

# ---------- models in several files ----------

my @shards = map { sprintf 'digits_mlp-%05d-of-00002.safetensors', $_ } 1, 2;
put_copy($_, $_) for @shards, 'digits_mlp.safetensors.index.json', 'digits_mlp.safetensors';
my $index = 'digits_mlp.safetensors.index.json';
is(query('files', "SELECT string_agg(name, ' ') FROM tensors(model_load('$folder/$index'))"),
	'layer1.weight layer1.bias layer2.weight layer2.bias layer3.weight layer3.bias', 'an index: tensors in its order');
is(query('files', qq{
	SELECT count(*), bool_and(tensor(a, name) = tensor(b, name))
	FROM model_load('$folder/$index') a, model_load('$folder/digits_mlp.safetensors') b, tensors(a)}), '6|t', 'with the weights of the whole file');
is(query('files', "SELECT model_metadata(model_load('$folder/$index'))"), '{"safetensors": {"format": "pt"}}', 'and its metadata');
is(query('files', "SELECT model_load('$folder/$index', 'safetensors') = model_load('$folder/$index')"), 't', 'the format may be told');
query('files', "SELECT model_save(model_load('$folder/$index'), '$folder/whole.safetensors')");
is(slurp('whole.safetensors'), slurp('digits_mlp.safetensors'), 'saved as one file it is the file that was split');

my $text = slurp($index);
# What becomes of the index with something replaced.
sub with_index
{
	my ($from, $to) = @_;
	my $changed = $text;
	$changed =~ s/$from/$to/ or die "no $from in the index";
	put('changed.json', $changed);
	return load_failure('changed.json');
}
like(with_index('"layer1.bias": "digits_mlp-00001', '"layer1.bias": "digits_mlp-00003'),
	qr/ERROR:  22P03: invalid safetensors index.*Shard "$shards[0]" has tensor "layer1\.bias", which the index does not place there/s,
	'a shard with a tensor too many');
like(with_index('"layer1.bias": "digits_mlp-00001', '"layer1.bias": "digits_mlp-00002'),
	qr/ERROR:  22P03: invalid safetensors index/, 'a tensor in another shard');
like(with_index('"layer1.bias"', '"layer9.bias"'), qr/ERROR:  22P03: .*Shard "$shards[0]" has tensor "layer1\.bias"/s, 'a tensor by another name');
like(with_index('"layer1.bias"', "\"new\": \"$shards[0]\", \"layer1.bias\""),
	qr/ERROR:  22P03: .*Shard "$shards[0]" has no tensor "new", which the index places there/s, 'a tensor too few');
like(with_index('"layer1.bias"', '"layer2.bias"'), qr/ERROR:  22P03: .*Tensor "layer2\.bias" comes twice/s, 'a tensor twice');
like(with_index('digits_mlp-00001-of-00002', 'digits_mlp-00001-of-00009'), qr/ERROR:  (58P01|22P03): /, 'a shard that is not there');
for my $name ('../' . $shards[0], "$folder/$shards[0]", './' . $shards[0], 'a b.safetensors', '', "\\u0000.safetensors", 'x' x 256 . '.safetensors')
{
	like(with_index('"digits_mlp-00001-of-00002.safetensors"', "\"$name\""),
		qr/ERROR:  22P03: invalid safetensors index.*(Shard ".*" has a name that is none of a file beside the index|U\+0000)/s,
		'a shard called "' . substr($name, 0, 40) . '"');
}
like(with_index('digits_mlp-00001-of-00002.safetensors', 'pytorch_model.bin'),
	qr/ERROR:  0A000: cannot read an index of files that are not safetensors.*It names "pytorch_model\.bin"/s, 'an index of checkpoints');
like(with_index('digits_mlp-00001-of-00002.safetensors', 'changed.json.safetensors'), qr/ERROR:  58P01: /, 'a shard beside it that is not there');
symlink 'changed.json', "$folder/loop.safetensors" or die $!;
put('changed.json', '{"weight_map": {"w": "loop.safetensors"}}');
like(load_failure('changed.json'),
	qr/ERROR:  22P03: invalid safetensors file.*CONTEXT:  shard "loop\.safetensors"/s, 'an index as its own shard');
my (undef, undef, $notice) = run_sql('files', "SELECT num_parameters(model_load('$folder/$index'))");
is($notice, '', 'no notice when all is as announced');
like(with_index('11112', '11113'), qr/succeeded/, 'another size in all');
(undef, undef, $notice) = run_sql('files', "SELECT num_parameters(model_load('$folder/changed.json'))");
like($notice, qr/NOTICE:  \S+ index announces 11113 bytes of tensors, but its shards have 11112/, 'is remarked');
like(with_index('11112', '"11113.5"'), qr/succeeded/, 'and is not when it is no number');

# Shards that say something different beside their tensors.
{
	my $shard = slurp($shards[1]);
	(my $other = $shard) =~ s/"format":"pt"/"format":"tf"/ or die 'no metadata';
	put($shards[1], $other);
	my ($status, $out, $err) = run_sql('files', "SELECT model_metadata(model_load('$folder/$index'))");
	is($out, '{"safetensors": {"format": "pt"}}', 'shards of different metadata: that of the first one');
	like($err, qr/NOTICE:  \S+ shards have different metadata/, 'is kept and remarked');
	put($shards[1], substr $shard, 0, -1);
	like(load_failure($index), qr/ERROR:  22P03: invalid safetensors file.*CONTEXT:  shard "$shards[1]"/s, 'an error in a shard says in which');
	put($shards[1], $shard);
}

# Links: as download caches have them, and out of the folder.
mkdir "$folder/blobs";
mkdir "$folder/snapshot";
put_copy($_, "blobs/$_") for $index, @shards;
symlink "../blobs/$_", "$folder/snapshot/$_" or die $! for $index, @shards;
is(query('files', "SELECT num_parameters(model_load('$folder/snapshot/$index'))"), 2778, 'links into the folder that the index is linked from');
unlink "$folder/snapshot/$shards[0]";
symlink "../$shards[0]", "$folder/snapshot/$shards[0]" or die $!;
like(failure("SELECT model_load('$folder/snapshot/$index')"),
	qr/ERROR:  22P03: model file names a file that is not beside it.*The name is "$shards[0]"/s, 'a link to elsewhere is not followed');
unlink map { glob "$folder/$_/*" } qw(blobs snapshot);
rmdir "$folder/$_" for qw(blobs snapshot);

done_testing();
