# ONNX models whose elements are in other files, and models as files.
use strict;
use warnings;

use File::Copy qw(copy);
use FindBin;
use Test::More;
use Time::HiRes qw(sleep);

use Session qw(create_database query run_sql);

create_database('onnx_files');
my $DATA = "$FindBin::RealBin/../data";

# The server's user has to get into it.
my $scratch = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);
chmod 0755, "$scratch";
my $folder = "$scratch/models";
mkdir $folder or die $!;

sub slurp
{
	my ($path) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	local $/ = undef;
	return scalar readline $file;
}

sub spew
{
	my ($path, $bytes) = @_;
	open my $file, '>:raw', $path or die "$path: $!";
	print $file $bytes;
	close $file or die $!;
	chmod 0644, $path;
	return $path;
}

my $model = slurp("$DATA/external.onnx");
my $weights = slurp("$DATA/external.bin");
my $whole = unpack 'H*', slurp("$DATA/digits_mlp.onnx");
spew("$folder/external.bin", $weights);
spew("$folder/perceptron.onnx", $model);

# A file that differs from the model in a piece of text of the same length.
sub changed
{
	my ($from, $to) = @_;
	my $bytes = $model;
	die "$to is not as long as $from" if length $from != length $to;
	$bytes =~ s/\Q$from\E/$to/ or die "there is no $from";
	return spew("$folder/changed.onnx", $bytes);
}

sub load_fails
{
	my ($path, $expect, $title) = @_;
	my ($status, undef, $err) = run_sql('onnx_files', "SELECT model_load('$path')");
	ok($status != 0, "$title is an error");
	return like($err, $expect, "$title: which one");
}

# ---------- files beside the model ----------

query('onnx_files', "CREATE TABLE zoo AS SELECT model_load('$folder/perceptron.onnx') AS m");
is(query('onnx_files', "SELECT model_write(m, 'pytorch') = model_write(model_read('\\x$whole'), 'pytorch') FROM zoo"),
	't', 'weights in a file beside the model are read from there');
is(query('onnx_files', 'SELECT count(*) FROM nodes((SELECT m FROM zoo))'), 5, 'and the graph from the model');
is(query('onnx_files', "SELECT model_read(model_write(m, 'onnx')) = m FROM zoo"), 't', 'it is written with its weights inside');

mkdir "$folder/subdir" or die $!;
spew("$folder/subdir/w.bin", $weights);
is(query('onnx_files', "SELECT model_load('" . changed('external.bin', 'subdir/w.bin') . "', 'onnx') = m FROM zoo"),
	't', 'a file may be in a directory below; where elements were is no part of the model');

my $secret = spew("$scratch/secret.bin", $weights);
symlink $secret, "$folder/linked_b.bin" or die $!;
for my $name ('../secret.bi', '/etc/hosts.x', 'a/../../x.bi')
{
	load_fails(changed('external.bin', $name), qr/ERROR:  22P03: model file names a file that is not beside it/, "\"$name\"");
}
load_fails(changed('external.bin', 'linked_b.bin'), qr/ERROR:  22P03: model file names a file that is not beside it/,
	'a link that leads out of the directory');
load_fails(changed('external.bin', 'nowhere1.bin'), qr/ERROR:  58P01: /, 'a file that is not there');
load_fails(changed('external.bin', '*/_ORT_MEM_/'), qr/ERROR:  22P03: /, 'a place in memory');

load_fails(changed('8192', '8191'), qr/ERROR:  22P03: .*graph\.initializer\[0\] has an external_data length that does not fit/s,
	'a length that does not fit');
load_fails(changed('8192', '-819'), qr/ERROR:  22P03: .*has external_data that is no location, offset or length/s, 'a negative length');
load_fails(changed('8320', '9999'), qr/ERROR:  22P03: .*outside of the 11008 bytes/s, 'an offset behind the end');
load_fails(changed('8320', '-832'), qr/ERROR:  22P03: .*has external_data that is no location/s, 'a negative offset');
load_fails(changed('offset', 'basepa'), qr/ERROR:  22P03: .*has external_data that is no location/s, 'an unknown key');
spew("$folder/external.bin", substr($weights, 0, -1));
load_fails("$folder/perceptron.onnx", qr/ERROR:  22P03: .*outside of the 11007 bytes/s, 'a file that is too short');


# ---------- elements beside the model that stay in its graph ----------

# Where attributes, nested graphs, functions and sparse tensors have theirs; the
# onnx package took the same models apart (make_onnx.py).
copy("$DATA/scattered.bin", "$folder/scattered.bin") or die $!;
my %scattered = (nested => 'graph', attributes => 'graph', functions => 'whole', sparse => 'whole');
for my $name (sort keys %scattered)
{
	copy("$DATA/scattered_$name.onnx", "$folder/scattered_$name.onnx") or die $!;
	copy("$DATA/$scattered{$name}_$name.onnx", "$folder/$scattered{$name}_$name.onnx") or die $!;
	is(query('onnx_files', "SELECT model_load('$folder/scattered_$name.onnx') = model_load('$folder/$scattered{$name}_$name.onnx')"),
		't', "$name: elements in another file become part of the graph");
	query('onnx_files', "SELECT model_save(model_load('$folder/scattered_$name.onnx'), '$scratch/saved.onnx')")
	  if chmod 0777, "$scratch";
	ok(slurp("$scratch/saved.onnx") eq slurp("$DATA/$scattered{$name}_$name.onnx"), "$name: and it is saved as the one whole file");
	like((run_sql('onnx_files', 'SELECT model_read(\'\x' . unpack('H*', slurp("$DATA/scattered_$name.onnx")) . '\')'))[2],
		qr/ERROR:  22P03: external data is not allowed in a stored model.*HINT:  model_load reads a file together with those beside it/s,
		"$name: and is refused as a value");
}
my $scattered = slurp("$DATA/scattered_nested.onnx");
# What becomes of a name, an offset or a length that is another one everywhere.
sub scattered_fails
{
	my ($from, $to, $expect, $title) = @_;
	(my $bytes = $scattered) =~ s/\Q$from\E/$to/g or die "there is no $from";
	die "$to is not as long as $from" if length $bytes != length $scattered;
	return load_fails(spew("$folder/changed.onnx", $bytes), $expect, "in a nested graph: $title");
}
symlink $secret, "$folder/linked_to.bin" or die $!;
scattered_fails('scattered.bin', $_, qr/ERROR:  22P03: model file names a file that is not beside it/, "\"$_\"")
  for '../scatte.bin', '/etc/passwd_x', 'a/../../x.bin', 'linked_to.bin';
scattered_fails('scattered.bin', 'nowhere13.bin', qr/ERROR:  58P01: /, 'a file that is not there');
scattered_fails('offset', 'basepa', qr/ERROR:  22P03: .*has external_data that is no location/s, 'an unknown key');
scattered_fails("location", "losation", qr/ERROR:  22P03: /, 'no name');
spew("$folder/scattered.bin", substr(slurp("$DATA/scattered.bin"), 0, 8));
load_fails("$folder/scattered_nested.onnx", qr/ERROR:  22P03: .*outside of the 8 bytes of file "scattered\.bin"/s, 'in a nested graph: a file that is too short');
# The indices of a sparse tensor are looked at when they are here.
spew("$folder/scattered.bin", "\x7f" x 4096);
load_fails("$folder/scattered_sparse.onnx", qr/ERROR:  22P03: .*has an index that is not in the tensor/s, 'indices in another file that are none');

# A kilobyte of model must not make gigabytes of the same bytes: 4000 tensors
# that are each all of a file of 4 MB.
{
	my $varint = sub { my ($n) = @_; my $out = ''; while ($n > 127) { $out .= chr($n & 127 | 128); $n >>= 7 } return $out . chr $n };
	my $field = sub { my ($number, $content) = @_; return $varint->($number << 3 | 2) . $varint->(length $content) . $content };
	my $place = $field->(13, $field->(1, 'location') . $field->(2, 'zeros.bin')) . "\x70\x01";
	my $initializers = join '', map { $field->(5, "\x08" . $varint->(1048576) . "\x10\x01" . $field->(8, "t$_") . $place) } 0 .. 3999;
	my $node = $field->(1, 't0') . $field->(2, 'y') . $field->(4, 'Identity');
	my $graph = $field->(1, $node) . $field->(2, 'g') . $initializers . $field->(12, $field->(1, 'y'));
	spew("$folder/many.onnx", "\x08\x08" . $field->(7, $graph) . $field->(8, "\x10\x11"));
	spew("$folder/zeros.bin", "\0" x 4194304);
	load_fails("$folder/many.onnx", qr/ERROR:  54000: ONNX model would grow too much when it is read/, 'the same bytes four thousand times');
	unlink "$folder/zeros.bin", "$folder/many.onnx";
}

# ---------- saving ----------

chmod 0777, $folder;
is(query('onnx_files', "SELECT model_save(m, '$folder/saved.onnx') FROM zoo"), -s "$folder/saved.onnx", 'a model is saved');
is(query('onnx_files', "SELECT model_load('$folder/saved.onnx') = m FROM zoo"), 't', 'and loaded as it was');
query('onnx_files', "SELECT model_save(model_read('\\x$whole'), '$folder/saved.onnx')");
ok(slurp("$folder/saved.onnx") eq slurp("$DATA/digits_mlp.onnx"), 'a file whose elements are raw_data is saved as it was');

# ---------- saving in two files ----------

mkdir "$folder/out" or die $!;
chmod 0777, "$folder/out";
my $SET = "SET modelopt.onnx_external_data_threshold = '4kB'";
sub entries { opendir my $dir, "$folder/out" or die $!; return join ' ', sort grep { !/^\.\.?$/ } readdir $dir }

my ($status, $size, $notice) = run_sql('onnx_files', "$SET; SELECT model_save(m, '$folder/out/mlp.onnx') FROM zoo");
is($status, 0, 'a file beyond the threshold is saved');
my ($first) = entries() =~ /^mlp\.onnx (mlp\.onnx\.[0-9a-f]{16}\.data)$/;
ok($first, 'as two') or diag entries();
like($notice, qr{NOTICE:  00000: weights of the model are in file "$folder/out/$first"}, 'and says so');
is($size, (-s "$folder/out/mlp.onnx") + (-s "$folder/out/$first"), 'with the size of both');
cmp_ok(-s "$folder/out/mlp.onnx", '<', 4096, 'weights are not in the model');
is((-s "$folder/out/$first") % 4096, 2048, 'and start at a page: 8 kB, and 2 kB');
is(query('onnx_files', "SELECT model_load('$folder/out/mlp.onnx') = m FROM zoo"), 't', 'they are loaded as they were');
is(query('onnx_files', "$SET; SELECT length(model_write(m, 'onnx')) FROM zoo"), length slurp("$DATA/digits_mlp.onnx"), 'a value is always whole');
query('onnx_files', "SET modelopt.onnx_external_data_threshold = '16kB'; SELECT model_save(m, '$folder/out/small.onnx') FROM zoo");
unlike(entries(), qr/small\.onnx\./, 'a file below the threshold is one');
unlink "$folder/out/small.onnx";

# Quantized weights, their scales and what replaces nodes, as in one file.
for my $quantized ("quantize(m, 'int8')", "quantize(m, 'int4', group_size => 16)", "quantize(m, 'fp16')",
	"quantize(m, 'uint8', activation_ranges => '{\"pixels\": [0, 1]}')")
{
	my $path = "$folder/out/quantized.onnx";
	query('onnx_files', "SET modelopt.onnx_external_data_threshold = 0; SELECT model_save($quantized, '$path') FROM zoo");
	my ($beside) = glob "$path.*.data";
	my $whole = query('onnx_files', "SELECT length(model_write($quantized, 'onnx')) FROM zoo");
	is(query('onnx_files', "SELECT model_load('$path') = model_read(model_write($quantized, 'onnx')) FROM zoo"),
		't', "$quantized is saved in two files as in one");
	cmp_ok(-s $path, '<', $whole - 900, 'without its codes in the first');
	cmp_ok((-s $path) + (-s $beside), '<', $whole + 8192, 'which are all that the second has');
	unlink $path, $beside;
}

# A file that moves with its data stays whole; one that was replaced, too.
copy("$folder/out/mlp.onnx", "$folder/out/copy.onnx") or die $!;
my $pruned = query('onnx_files', "$SET; SELECT model_save(prune(m, 0.5), '$folder/out/mlp.onnx') FROM zoo");
my ($second) = grep { $_ ne $first } entries() =~ /(mlp\.onnx\.[0-9a-f]{16}\.data)/g;
ok($second, 'a model that takes the place of another brings data of its own');
is(query('onnx_files', "SELECT model_load('$folder/out/copy.onnx') = m, model_load('$folder/out/mlp.onnx') = decompress(prune(m, 0.5)) FROM zoo"),
	't|t', 'and who has the model of before finds the data that belong to it');
is((stat "$folder/out/$second")[2] & 0777, (stat "$folder/out/mlp.onnx")[2] & 0777, 'both files have the same permissions');

# Nothing is left when it fails, before the first byte or after the last one.
unlink glob "$folder/out/*";
my $before = spew("$folder/out/mlp.onnx", 'precious');
mkdir "$folder/out/dir.onnx" or die $!;
like((run_sql('onnx_files', "$SET; SELECT model_save(model_set(m, 'nothing', '{1}'), '$folder/out/mlp.onnx') FROM zoo"))[2],
	qr/ERROR:  /, 'a tensor that is not in the graph');
like((run_sql('onnx_files', "$SET; SELECT model_save(m, '$folder/out/dir.onnx') FROM zoo"))[2], qr/ERROR:  42809: /, 'a directory of that name');
like((run_sql('onnx_files', "$SET; SELECT model_save(m, '$folder/out/back\\slash.onnx') FROM zoo"))[2],
	qr/ERROR:  42602: a file beside ".*" cannot be named in it/, 'a name that no model can say');
like((run_sql('onnx_files', "$SET; SELECT model_save(m, '$folder/out/" . 'x' x 230 . ".onnx') FROM zoo"))[2],
	qr/ERROR:  \w+: could not (create|rename) file /, 'a name with which that of the second file is too long');
is(entries(), 'dir.onnx mlp.onnx', 'nothing is left of these');
is(slurp($before), 'precious', 'and what was there is as it was');

# ---------- at the limit of the format ----------

# Two tensors of a gigabyte of zeros each, which take little until they are
# written, as the regression tests make them.
unlink glob "$folder/out/*.onnx*";
my $sql = slurp("$FindBin::RealBin/../../sql/onnx.sql");
query('onnx_files', join '', map { $sql =~ /^(CREATE FUNCTION $_\(.*?\$\$;\n)/ms or die "no $_"; $1 } qw(field graph little zeros));
($status, $size, $notice) = run_sql('onnx_files', "SELECT model_save(zeros(2), '$folder/out/huge.onnx')");
is($status, 0, 'a model of more than 2 GB is saved without being told how');
like($notice, qr/NOTICE:  00000: weights of the model are in file/, 'in two files');
my ($data) = glob "$folder/out/huge.onnx.*.data";
is(-s $data, 2147483648, 'all of its elements in one');
is($size, (-s $data) + (-s "$folder/out/huge.onnx"), 'and the rest in the other');
unlink glob "$folder/out/*";
spew("$folder/out/huge.onnx", 'precious');
{
	my $session = Session->new('onnx_files');
	my $pid = $session->run('SELECT pg_backend_pid()');
	$session->start("SELECT model_save(zeros(2), '$folder/out/huge.onnx')");
	my $seen = 0;
	for (1 .. 3000)
	{
		$seen = grep { (-s $_ // 0) > 0 } glob "$folder/out/.modelopt-*.tmp";
		last if $seen;
		sleep 0.01;
	}
	ok($seen, 'a second file grows beside it');
	query('onnx_files', "SELECT pg_cancel_backend($pid)");
	like($session->finish, qr/ERROR:  57014: /, 'the query is cancelled');
	$session->quit;
	is(entries(), 'dir.onnx huge.onnx', 'nothing is left of either file');
	is(slurp("$folder/out/huge.onnx"), 'precious', 'and what was there is as it was');
}

done_testing();
